"""What features know, as a section of a page: pictures of what was found, and a map of all images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ft.extension.sections import Chart, Line, Note, Part, Pictures, Section, Shot
from ft.insight.records import Known, NearCopy, Spot
from ft.text.counting import number_of

TITLE = "What features know"
MOST_POINTS = 4000
"""Images on the map at most."""
MOST_LABELS = 7
"""Different labels up to which the map tells them apart; where there are more, it tells splits apart."""


def known_section(known: Known, places: Mapping[str, int], everything: int) -> Section:
    """The section of what is known, where `places` are the numbers of all images by their names. Of `everything`, so
    many images, some may have no features, as test images of a run."""
    without = everything - known.images
    lead = (
        f"What a pretrained network makes of {number_of(known.images, 'image')}, before any training on them, says "
        "which labels may be wrong and which images are unlike all others. Images that show the same are found by "
        "their pixels"
        + (f", in all {everything} images; the network has not been asked about {without} of them." if without else ".")
    )
    parts = (*_labels(known, places), *_copies(known, places), *_outliers(known, places), *_map(known, places))
    return Section(TITLE, parts, lead)


def _labels(known: Known, places: Mapping[str, int]) -> Sequence[Part]:
    if known.judged is None:
        return [Note(f"Labels are not judged: {known.unjudged}.")]
    agreed = (
        f"{known.judged.agreement:.1%} of labels are also what a linear head answers that did not see the image. "
        "Suspected are those of which heads are surely of another class (confident learning, Northcutt et al. 2021); "
        "some of them are merely hard."
    )
    if known.judged.left_out:
        agreed += f" Not judged, with too few images: {', '.join(known.judged.left_out)}."
    shots = tuple(
        Shot(
            places[each.path],
            f"{each.split}, labelled {each.label}; may be {each.suggested} (margin {each.score:.2f})",
            marked=f"{each.suggested}?",
        )
        for each in known.labels
    )
    title = f"{number_of(len(shots), 'label')} may be wrong"
    return [Pictures(title, shots), Note(agreed)] if shots else [Note(f"No label is suspected. {agreed}")]


def _copies(known: Known, places: Mapping[str, int]) -> Sequence[Part]:
    across = [each for each in known.copies if each.splits[0] != each.splits[1]]
    within = [each for each in known.copies if each.splits[0] == each.splits[1]]
    if not known.copies:
        return [Note("No two images show the same.")]
    parts: list[Part] = []
    if across:
        said = "pair lies" if len(across) == 1 else "pairs lie"
        parts.append(
            Note(
                f"{len(across)} {said} across splits: what was trained on is asked about again, so figures come out "
                "too good. Leave one of each out, or name what belongs together by split.group.",
                warns=True,
            )
        )
        parts.append(Pictures(f"The same in two splits: {number_of(len(across), 'pair')}", _pairs(across, places)))
    if within:
        parts.append(Pictures(f"The same in one split: {number_of(len(within), 'pair')}", _pairs(within, places)))
    return parts


def _pairs(copies: Sequence[NearCopy], places: Mapping[str, int]) -> tuple[Shot, ...]:
    return tuple(
        Shot(
            places[each.paths[0]],
            " and ".join(f"{split}, {label}" for split, label in zip(each.splits, each.labels, strict=True))
            + f": {each.changed}, alike to {each.score:.3f}",
            beside=places[each.paths[1]],
        )
        for each in copies
    )


def _outliers(known: Known, places: Mapping[str, int]) -> Sequence[Part]:
    if not known.outliers:
        return [Note("No image is unlike all others.")]
    shots = tuple(
        Shot(places[each.path], f"{each.split}, {each.label}: {each.score:.1f} deviations away")
        for each in known.outliers
    )
    return [Pictures(f"{number_of(len(shots), 'image is', 'images are')} unlike all others", shots)]


def _map(known: Known, places: Mapping[str, int]) -> Sequence[Part]:
    if len(known.places) < 2:
        return []
    suspected = {each.path for each in known.labels}
    some = thinned(known.places, MOST_POINTS, suspected | {each.path for each in known.outliers})
    labels = Counter(spot.label for spot in known.places)
    by_label = len(labels) <= MOST_LABELS
    groups: dict[str, list[Spot]] = {name: [] for name in (sorted(labels) if by_label else ("train", "val", "test"))}
    for spot in some:
        groups[spot.label if by_label else spot.split].append(spot)
    lines = [_line(name, spots, places) for name, spots in groups.items() if spots]
    if marked := [spot for spot in some if spot.path in suspected]:
        lines.append(_line("label may be wrong", marked, places))
    left_out = f" {len(some)} of {len(known.places)} images are drawn." if len(some) < len(known.places) else ""
    note = "The two directions in which features differ most. What lies close together looks alike." + left_out
    return [Chart("Map of all images", "first component", "second component", tuple(lines), "points", note=note)]


def _line(name: str, spots: Sequence[Spot], places: Mapping[str, int]) -> Line:
    return Line(name, tuple((spot.x, spot.y) for spot in spots), tuple(places[spot.path] for spot in spots))


def thinned(spots: Sequence[Spot], most: int, keep: set[str]) -> Sequence[Spot]:
    """So many spots at the `most`: those whose paths are to be kept, as far as there is room, and evenly of the
    others."""
    if len(spots) <= most:
        return spots
    kept = [place for place, spot in enumerate(spots) if spot.path in keep][: most // 2]
    there = set(kept)
    others = [place for place in range(len(spots)) if place not in there]
    room = most - len(kept)
    chosen = [others[place * len(others) // room] for place in range(room)]
    return [spots[place] for place in sorted([*kept, *chosen])]
