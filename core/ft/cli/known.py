"""What `ft data check --backbone` tells beside the check of the files: what features know of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ft.cli.printing import tell, tell_title
from ft.text.counting import first_lines, number_of

if TYPE_CHECKING:
    from pathlib import Path

    from ft.config.schema import Config
    from ft.data.oddities import Checked
    from ft.extension.installed import Plugins
    from ft.insight.records import Known
    from ft.machine.display import Display


@dataclass(frozen=True)
class Asked:
    """The config by which features are made, which of what was set is about the data alone, and where to write the
    table of corrections and the page, where they are wanted."""

    config: Config
    of_the_data: tuple[str, ...]
    table: Path | None
    page: Path | None


def asked_of_features(source: str, sets: Sequence[str], given: Mapping[str, Any]) -> Asked:
    """What is asked for, by what is set and by the flags that are `given`. Raises FtError for a key that changes
    nothing here."""
    from ft.gathering import OF_THE_DATA, config_to_gather

    config = config_to_gather(source, {key: given[key] for key in ("backbone", "task")}, sets)
    of_the_data = tuple(text for text in sets if text.startswith(OF_THE_DATA))
    return Asked(config, of_the_data, given["write_csv"], given["html"])


def tell_of_features(asked: Asked, checked: Checked, plugins: Plugins, display: Display) -> Known:
    """Find out what the features tell, and write what is wanted of it. What a run would warn of is warned of, where the
    files that were `checked` did not tell it."""
    from ft.gathering import gather
    from ft.insight.correction import correction_table
    from ft.insight.page import known_page
    from ft.knowing import know
    from ft.machine.files import publish_text

    gathered = gather(asked.config, plugins.preferring(asked.config.prefer), display)
    for text in sorted({*gathered.warnings}.difference(finding.detail for finding in checked.findings)):
        display.warn(text)
    known = know(gathered, plugins, display)
    if (table := asked.table) is not None:
        publish_text(table, correction_table(gathered.items, gathered.splits, known))
        display.say(f"wrote {table}: correct the column label, those first that stand first, and use --data {table}")
    if (page := asked.page) is not None:
        publish_text(page, known_page(known, gathered.data, asked.config.backbone.use, gathered.value_range, display))
        display.say(f"wrote {page}: open it in a browser; it holds small pictures of the images")
    return known


def print_known(known: Known) -> None:
    """Print what was found, the first of each kind; how labels were judged; and how much work it was."""
    tell("")
    _print_labels(known)
    _print_copies(known)
    lines = [f"{each.path} ({each.label}, {each.split}): {each.score:.1f} deviations away" for each in known.outliers]
    _section(f"{number_of(len(known.outliers), 'outlier')}: unlike all other images", lines)
    network = (
        f"the network ran for {number_of(known.computed, 'image')}" if known.computed else "all features were kept"
    )
    tell(f"features of {number_of(known.images, 'image')}: {network}; all else took {known.seconds:.1f} s")


def _print_labels(known: Known) -> None:
    if known.judged is None:
        tell(f"labels are not judged: {known.unjudged}", "")
        return
    lines = [
        f"{each.path} ({each.split}): {each.label}, or {each.suggested}? margin {each.score:.2f}"
        for each in known.labels
    ]
    _section(f"{number_of(len(known.labels), 'label')} may be wrong", lines)
    agreed = f"{known.judged.agreement:.1%} of labels are what a linear head answers that did not see the image"
    tell(f"{agreed} (penalty {known.judged.penalty:g})")
    if known.judged.left_out:
        tell(f"not judged, with too few images: {', '.join(known.judged.left_out)}")
    tell("")


def _print_copies(known: Known) -> None:
    across = sum(each.splits[0] != each.splits[1] for each in known.copies)
    lines = [
        f"{each.paths[0]} ({each.splits[0]}, {each.labels[0]}) and {each.paths[1]} ({each.splits[1]}, "
        f"{each.labels[1]}): {each.changed}, {each.score:.3f}"
        for each in known.copies
    ]
    leaks = f", {across} across splits: figures come out too good" if across else ""
    _section(f"{number_of(len(known.copies), 'pair')} of images that show the same{leaks}", lines)


def _section(title: str, lines: Sequence[str]) -> None:
    tell_title(title, ":" if lines else "")
    for line in first_lines(lines):
        tell(f"  {line}")
    tell("")
