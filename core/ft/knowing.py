"""What a data set's features tell before any training: labels that may be wrong, copies, strangers, and a map."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from ft.extension.installed import Plugins
from ft.gathering import Gathered
from ft.insight.components import principal_components
from ft.insight.copies import Copy, find_copies
from ft.insight.neighbours import directions, nearest
from ft.insight.outliers import K, find_strangers
from ft.insight.records import Known, NearCopy, Outlier, Spot
from ft.insight.signatures import signatures_of
from ft.judging import judge_labels
from ft.machine.display import Display

COMPONENTS = 256
"""Principal components that heads are fitted to: fits cost the square of their number, and a head that is to be asked
about others needs no more (docs/data-check.md has the figures)."""


def know(gathered: Gathered, plugins: Plugins, display: Display) -> Known:
    """Say what the features of all images tell about them."""
    started, items, data = time.perf_counter(), gathered.items, gathered.data
    components = principal_components(gathered.features, COMPONENTS)
    labels, judged, unjudged = judge_labels(gathered, components, plugins, display)
    units = directions(gathered.features)
    with display.progress("neighbours", len(items), unit="images") as bar:
        near = nearest(units, min(K, len(items) - 1), bar.advance)
    digests = [data.digests[item.picture.name] for item in data.items]
    signatures = signatures_of(data, gathered.value_range, gathered.store, display)
    with display.progress("comparing images", len(digests), unit="images") as bar:
        copies = find_copies(signatures, digests, bar.advance)
    strangers, said = find_strangers(near.distances), gathered.said()
    flat = components[:, :2] if components.shape[1] > 1 else torch.nn.functional.pad(components, (0, 1))
    return Known(
        images=len(items),
        computed=gathered.computed,
        seconds=time.perf_counter() - started,
        labels=labels,
        unjudged=unjudged,
        judged=judged,
        copies=tuple(_copy(each, said) for each in copies),
        outliers=tuple(Outlier(*said[each.place], each.score) for each in strangers),
        places=tuple(Spot(*who, x, y) for who, (x, y) in zip(said, flat.tolist(), strict=False)),
    )


def _copy(copy: Copy, said: Sequence[tuple[str, str, str]]) -> NearCopy:
    paths, splits, labels = zip(said[copy.first], said[copy.second], strict=True)
    return NearCopy(paths, splits, labels, copy.changed, copy.score)
