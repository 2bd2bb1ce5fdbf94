"""Checks for data sources."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

from ft.errors import FtError
from ft.extension.installed import Component
from ft.extension.records import Remark, Sample
from ft.extension.tasks import label_text
from ft.testing.trial import Check, NotSo, Trial, expect

ODD_ARGUMENTS = (None, "", "./no/such/place", "no-such-thing")


def samples_are_labelled_images(trial: Trial) -> None:
    """Files exist, each once; labels are class names, two at least; splits are train, val, test or None.

    What is no file has a key of its own, and an `open` that another process can be given.
    """
    from ft.data.pictures import objection_to, picture_of

    for settings, argument, samples in _loaded(trial):
        where = f"{trial.label} with {argument!r}, {settings!r}"
        expect(samples, f"{where} has no images; raise FtError instead")
        strange = [sample for sample in samples if not isinstance(sample, Sample)]
        expect(not strange, f"{where} yields {strange[:1]!r}; it yields ft.Sample and ft.Remark")
        objections = [objection for sample in samples if (objection := objection_to(sample))]
        expect(not objections, f"{where} yields a sample with {''.join(objections[:1])}")
        pictures = [picture_of(sample) for sample in samples]
        absent = [picture.name for picture in pictures if picture.path is not None and not picture.path.is_file()]
        expect(not absent, f"{where}: there is no file {''.join(absent[:1])}")
        expect(len({picture.name for picture in pictures}) == len(pictures), f"{where} yields an image twice")
        if bound := next((problem for picture in pictures if (problem := _cannot_travel(picture.open))), ""):
            raise NotSo(f"{where}: open cannot be handed to another process ({bound}); use functools.partial")
        labels = {label_text(sample.label) for sample in samples}
        expect(all(labels), f"{where} has labels {labels!r:.200}")
        expect(len(labels) > 1, f"{where} has the one class {labels}; try it with data of two")
        splits = {sample.split for sample in samples} - {None, "train", "val", "test"}
        expect(not splits, f"{where} has the splits {splits}; there are train, val, test and None")


def images_open(trial: Trial) -> None:
    """The first image of each class can be read, and is the same image each time."""
    from ft.data.decoding import decode_image
    from ft.data.pictures import content_digest, picture_of

    for _, _, samples in _loaded(trial):
        for sample in {label_text(sample.label): sample for sample in reversed(samples)}.values():
            picture = picture_of(sample)
            try:
                content = picture.read()
                decode_image(content)
            except Exception as error:
                raise NotSo(f"{picture.name} cannot be read: {error}") from None
            expect(content_digest(content) == picture.digest(), f"{picture.name} is another image each time")


def the_order_is_always_the_same(trial: Trial) -> None:
    """A run can only be repeated when the same data come in the same order."""
    for (_, argument, once), (_, _, again) in zip(_loaded(trial), _loaded(trial), strict=True):
        same = [_as_text(sample) for sample in once] == [_as_text(sample) for sample in again]
        expect(same, f"{trial.label} with {argument!r} yields another order each time; sort it")


def a_mistake_is_told_to_the_user(trial: Trial) -> None:
    """Whatever argument is typed, there are images or an FtError that says what to type; never a traceback."""
    for settings in trial.read_settings():
        for argument in ODD_ARGUMENTS:
            try:
                _load(trial, argument, settings)
            except FtError as error:
                expect(str(error).strip(), f"{trial.label} raises an FtError that says nothing for {argument!r}")
            except Exception as error:
                raise NotSo(
                    f"{trial.label} raises {type(error).__name__} ({error}) for {argument!r}; raise ft.FtError"
                ) from error


def _cannot_travel(open_: object) -> str:
    try:
        pickle.dumps(open_)
    except Exception as error:  # whatever pickle and the objects it meets raise
        return str(error)
    return ""


def _as_text(sample: Sample) -> tuple[str, ...]:
    return str(sample.path), sample.key, label_text(sample.label), str(sample.split)


def _load(trial: Trial, argument: str | None, settings: Any) -> list[Any]:
    from ft.data.source_cache import load_samples

    return list(load_samples(trial.component, argument, settings))


def _loaded(trial: Trial) -> Iterator[tuple[Any, str | None, list[Sample]]]:
    for settings in trial.read_settings():
        for argument in trial.arguments:
            try:
                found = _load(trial, argument, settings)
                yield settings, argument, [each for each in found if not isinstance(each, Remark)]
            except FtError as error:
                raise trial.unfit(argument, error) from None


def answer(component: Component, argument: str | None, settings: Any) -> list[tuple[str, str, str | None]]:
    """Name, label and split of each image that it loads."""
    from ft.data.pictures import picture_of
    from ft.data.source_cache import load_samples

    found = load_samples(component, argument, settings)
    samples = [each for each in found if not isinstance(each, Remark)]
    return [(picture_of(sample).name, sample.label, sample.split) for sample in samples]


CHECKS: tuple[Check, ...] = (
    samples_are_labelled_images,
    images_open,
    the_order_is_always_the_same,
    a_mistake_is_told_to_the_user,
)
