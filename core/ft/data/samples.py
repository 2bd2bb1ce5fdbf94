"""What a data source has: its samples, each once, with their labels as they are spelt here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ft.config.schema import ComponentConfig
from ft.data.pictures import objection_to
from ft.data.reference import data_reference
from ft.data.source_cache import load_samples
from ft.errors import FtError
from ft.extension.installed import Plugins, read_settings
from ft.extension.records import Remark, Sample
from ft.extension.tasks import Label, label_text
from ft.machine.memory import garbage_waits
from ft.text.counting import number_of, some_names
from ft.text.names import as_text, class_name, portable
from ft.text.redaction import check_whole, shown, what_is_left_out


@dataclass(frozen=True)
class Found:
    """What a data source has: its samples by their path relative to what they have in common, in that order.

    `source` is its reference. `notes` say how it was read, `warnings` what the user may not have meant.
    """

    samples: Mapping[str, Sample]
    source: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@garbage_waits()
def read_samples(data: ComponentConfig, plugins: Plugins, group: str | None = None) -> Found:
    """Ask a data source for its samples, each once and with its label, and with its `group` where a column is named.

    Raises FtError for none."""
    check_whole(data.use)
    reference = data_reference(data.use, plugins)
    source = as_text(shown(str(reference)))
    component = plugins.get("data", reference)
    settings = read_settings(component, data.settings, "data")
    given = list(load_samples(component, reference.argument, settings, group))
    remarks = [each for each in given if isinstance(each, Remark)]
    who = f"data source '{component.name}' of {component.distribution} {component.version}"
    samples, respelt = _named([each for each in given if not isinstance(each, Remark)], who)
    if not samples:
        raise FtError(f"there are no images in '{source}'")
    if group is not None and (alone := next((each for each in samples if not _is_group(each.group)), None)):
        raise FtError(
            f"{who} yielded {alone!r:.200}; with split.group, each sample has a group: what '{group}' is of it, as text"
        )
    keyed, repeated = _keyed(samples, who, source)
    warned = [remark.text for remark in remarks if remark.warns]
    return Found(
        samples=keyed,
        source=source,
        notes=tuple(remark.text for remark in remarks if not remark.warns),
        warnings=(*what_is_left_out(data.use), *warned, *respelt, *repeated),
    )


def _is_group(group: object) -> bool:
    return isinstance(group, str) and bool(group.strip())


def _named(found: Sequence[Any], who: str) -> tuple[list[Sample], list[str]]:
    """Return the samples with labels as they are spelt here, and a warning where labels that differ become one."""
    spelt: dict[str, str] = {}

    def name(text: str) -> str:
        if text not in spelt:
            spelt[text] = class_name(text)
        return spelt[text]

    samples = []
    for sample in found:
        if not isinstance(sample, Sample) or not _is_label(sample.label):
            raise FtError(
                f"{who} yielded {sample!r:.200}; it yields ft.Sample(path, label) with a text as label, or a mapping "
                "from columns to texts"
            )
        if objection := objection_to(sample):
            raise FtError(f"{who} yielded a sample of '{label_text(sample.label)}' with {objection}")
        if isinstance(sample.label, str):
            label: Label = name(sample.label)
        else:
            label = {column: class_name(value) for column, value in sample.label.items()}
        samples.append(sample if label == sample.label else replace(sample, label=label))
    labels: dict[str, list[str]] = {}
    for text, spelling in spelt.items():
        labels.setdefault(spelling, []).append(text)
    merged = [f"{_quoted(each)} are '{spelling}'" for spelling, each in labels.items() if len(each) > 1]
    said = "labels that differ only in space around them, or in how accents are spelt, are one"
    return samples, [f"{said}: {some_names(merged)}"] if merged else []


def _is_label(label: Any) -> bool:
    return isinstance(label, str) or (
        isinstance(label, Mapping)
        and bool(label)
        and all(isinstance(each, str) for pair in label.items() for each in pair)
    )


def _quoted(names: Sequence[str]) -> str:
    return " and ".join(repr(name) for name in names)


def _keyed(samples: Sequence[Sample], who: str, source: str) -> tuple[dict[str, Sample], list[str]]:
    """Return the samples by their key, or their path relative to what they have in common, in that order, each once."""
    keyed: dict[str, Sample] = {}
    repeated = 0
    for key, sample in _with_keys(samples):
        if key not in keyed:
            keyed[key] = sample
            continue
        other = keyed[key]
        if sample.open is not None or other.open is not None:
            raise FtError(f"{who} yielded two images with the key '{key}'; a key is of one image")
        if (other.label, other.split, other.group) != (sample.label, sample.split, sample.group):
            raise FtError(
                f"{sample.path} is in '{source}' twice: as {_role(other)} and as {_role(sample)}; an image has one "
                "label and belongs to one split" + (" and one group" if other.group else "")
            )
        repeated += 1
    warnings = (
        [f"{number_of(repeated, 'image is', 'images are')} listed more than once and counted once"] if repeated else []
    )
    return dict(sorted(keyed.items(), key=lambda entry: portable(entry[0]))), warnings


def _with_keys(samples: Sequence[Sample]) -> Iterator[tuple[str, Sample]]:
    paths = [None if sample.path is None else os.path.abspath(sample.path) for sample in samples]
    folders = {os.path.dirname(path) for path in paths if path is not None}
    root = os.path.join(os.path.commonpath(folders), "") if folders else ""
    for path, sample in zip(paths, samples, strict=True):  # not pathlib, which takes ten times as long
        yield sample.key if path is None else path[len(root) :].replace(os.sep, "/"), sample


def _role(sample: Sample) -> str:
    group = f" of {sample.group}" if sample.group else ""
    return f"'{label_text(sample.label)}'{group}" + (f" in {sample.split}" if sample.split else "")
