"""Checks for tasks, on the labels of a few images and outputs that are drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ft.errors import FtError
from ft.extension.installed import Component
from ft.pages.parts import faults_of
from ft.testing.task_exported import what_is_exported_is_what_is_answered
from ft.testing.trial import Check, NotApplicable, NotSo, Trial, expect
from ft.testing.tried import Tried, tries, try_out

if TYPE_CHECKING:
    import torch

    from ft.extension.tasks import Answer, Meter

STEPS = 60


def labels_become_targets(trial: Trial) -> None:
    """Each of the record's labels becomes a number, or a tuple of as many numbers as all others."""
    for tried in tries(trial):
        expect(tried.space.outputs > 0, f"{trial.label} has a space with no outputs: {tried.space}")
        expect(tried.space.names, f"{trial.label} has a space without names: {tried.space}")
        kept = _through_json(dict(tried.space.numbers), f"{trial.label} has numbers in its space")
        same = kept == {name: list(values) for name, values in tried.space.numbers.items()}
        expect(same, f"{trial.label} has numbers in its space that JSON does not keep")
        expect(len(tried.targets) == len(trial.component.record.labels), f"{trial.label} loses targets")


def a_label_of_another_kind_is_refused(trial: Trial) -> None:
    """What is no label of the task is refused by an FtError that says so, or is one; nothing else is raised."""
    for tried in tries(trial):
        for label in ("", "no such label", "1e999", {"no such column": "no such value"}):
            try:
                tried.task.encode([label], tried.space)
            except FtError as error:
                expect(str(error).strip(), f"{trial.label} raises an FtError that says nothing for {label!r}")
            except Exception as error:
                told = f"{type(error).__name__} ({error})"
                expect(False, f"{trial.label} raises {told} for the label {label!r}; raise ft.FtError")


def the_loss_is_a_mean(trial: Trial) -> None:
    """A finite number, whose parts, each counting as it weighs, add up to the whole."""
    import torch

    for tried in tries(trial):
        loss = tried.task.loss(tried.space, tried.targets)
        outputs = tried.outputs.double()
        whole = loss(outputs, tried.targets)
        expect(whole.ndim == 0 and bool(whole.isfinite()), f"{trial.label} has the loss {whole!r:.80}; it is a mean")
        halves = list(zip(outputs.tensor_split(2), tried.targets.tensor_split(2), strict=True))
        weights = [loss.weight(targets) for _, targets in halves]
        total = sum(weights)
        expect(math.isclose(total, loss.weight(tried.targets), rel_tol=1e-5), f"{trial.label}: weights do not add up")
        parts = torch.stack([loss(*half) * weight for half, weight in zip(halves, weights, strict=True)]).sum() / total
        expect(
            math.isclose(float(parts), float(whole), rel_tol=1e-4, abs_tol=1e-6),
            f"{trial.label}: the losses of parts, by their weights, add up to {float(parts):g}, not {float(whole):g}; "
            "return the mean, and give the loss a weight(targets) where images do not count alike",
        )


def the_loss_follows_from_outputs(trial: Trial) -> None:
    """Steps down its gradient lower it, the same each time, and do not make the first figure worse."""
    import torch

    for tried in tries(trial):
        loss = tried.task.loss(tried.space, tried.targets)
        ends = []
        for seed in (1, 1):
            torch.manual_seed(seed)
            outputs = tried.outputs.clone().requires_grad_()
            optimizer = torch.optim.Adam([outputs], lr=0.1)
            for _ in range(STEPS):
                optimizer.zero_grad()
                loss(outputs, tried.targets).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            ends.append(outputs.detach())
        before, after = (float(loss(each, tried.targets)) for each in (tried.outputs, ends[0]))
        expect(after < before, f"{trial.label}: steps down the gradient lead from a loss of {before:g} to {after:g}")
        expect(ends[0].equal(ends[1]), f"{trial.label} has another loss each time; draw with torch's generator")
        figure = tried.task.figure(None)
        then, now = (_figures(tried, each)[figure.name] for each in (tried.outputs, ends[0]))
        better = now >= then if figure.larger_is_better else now <= then
        expect(better, f"{trial.label}: with a lower loss, {figure.name} went from {then:g} to {now:g}")


def meters_add_up(trial: Trial) -> None:
    """Figures do not depend on how images come in batches, nor on how many meters counted them: the loss, and each that
    the record names; and JSON keeps what the tables say."""
    for tried in tries(trial):
        whole = _figures(tried, tried.outputs)
        lacking = [figure.name for figure in tried.task.figures if not math.isfinite(whole.get(figure.name, math.nan))]
        expect(not lacking, f"{trial.label} has no figure {', '.join(lacking)}, or none that is a number")
        one, other = _meter(tried, 0, 3), _meter(tried, 3, len(tried.targets))
        one.merge(other)
        merged = one.figures()
        apart = [
            name for name, value in whole.items() if not math.isclose(merged[name], value, rel_tol=1e-5, abs_tol=1e-6)
        ]
        expect(not apart, f"{trial.label}: merged meters say another {', '.join(apart)}")
        for table in one.tables():
            _through_json(table.rows, f"{trial.label} has a table '{table.name}' with rows")
            strange = [row for row in table.rows if list(row) != list(table.columns)]
            expect(not strange, f"{trial.label}: table '{table.name}' has a row of other columns: {strange[:1]}")


def answers_are_one_an_image(trial: Trial) -> None:
    """Each image has an ft.Answer, which JSON can say, and rows that have the same columns."""
    from ft.extension.tasks import Answer

    for tried in tries(trial):
        answers = _answers(tried)
        expect(
            len(answers) == len(tried.outputs), f"{trial.label} gives {len(answers)} answers to {len(tried.outputs)}"
        )
        expect(
            all(isinstance(each, Answer) for each in answers), f"{trial.label} answers {answers[0]!r:.80}, no ft.Answer"
        )
        for each in answers:
            _through_json(each.said(3), f"{trial.label} has answers")
        columns = {(tuple(each.row(3)), tuple(each.cells(3))) for each in answers}
        expect(len(columns) == 1, f"{trial.label} has other columns for each answer: {sorted(columns)[:2]}")


def what_is_counted_is_a_number_an_image(trial: Trial) -> None:
    """`tally`, where there is one, gives a value for each image, and has a name."""
    for tried in tries(trial):
        count = tried.task.count(tried.space)
        if count is None:
            raise NotApplicable("it counts nothing of training images")
        expect(tried.task.record.tally_name, f"{trial.label} has a tally without a tally_name")
        values = count(tried.outputs, tried.targets)
        expect(
            values.shape == (len(tried.targets),), f"{trial.label} counts {list(values.shape)}, not a value an image"
        )


def what_is_calibrated_is_kept(trial: Trial) -> None:
    """`calibrate`, where there is one, chooses the same each time, and leaves names and outputs as they are."""
    for tried in tries(trial):
        if tried.task.record.calibrate is None:
            raise NotApplicable("it chooses nothing on validation images")
        one, other = (tried.task.calibrate(tried.outputs, tried.targets, tried.space) for _ in range(2))
        expect(one == other, f"{trial.label} calibrates to {one} and then to {other}")
        same = (one.names, one.outputs) == (tried.space.names, tried.space.outputs)
        expect(same, f"{trial.label} calibrates to another space: {one}")


def what_is_known_stays_known(trial: Trial) -> None:
    """`extend`, where there is one, keeps every name of the space that is known, each once, and adds nothing to it of
    the very labels that it is of."""
    for tried in tries(trial):
        task, labels = tried.task, list(trial.component.record.labels)
        if task.record.extend is None:
            raise NotApplicable("it adds no names to those of a run")
        same = task.extend(labels, tried.space)
        expect(same == tried.space, f"{trial.label} extends {tried.space} by its own labels to {same}")
        few = task.extend(labels[:1] * 2 + labels[1:2], tried.space) if len(tried.space.names) > 1 else same
        lost = [name for name in tried.space.names if few.names.count(name) != 1]
        expect(not lost, f"{trial.label} loses {', '.join(lost)} where new images have no such label")


def what_a_page_shows_is_of_the_split(trial: Trial) -> None:
    """`sections`, where there are any, are ft.Sections of parts that can be drawn, the same each time, also of a split
    of one image; pictures are rows of the split, and outputs those that the task has."""
    from ft.extension.sections import Section

    for tried in tries(trial):
        if tried.task.record.sections is None:
            raise NotApplicable("it shows nothing on a page")
        space = tried.task.calibrate(tried.outputs, tried.targets, tried.space)
        for many in (len(tried.targets), 1):
            one, other = (tried.task.sections(tried.outputs[:many], tried.targets[:many], space) for _ in range(2))
            expect(one == other, f"{trial.label} shows other sections each time")
            strange = [each for each in one if not isinstance(each, Section)]
            expect(not strange, f"{trial.label} shows {strange[:1]!r:.80}, no ft.Section")
            wrong = [fault for each in one for fault in faults_of(each, many, space.outputs)]
            expect(not wrong, f"{trial.label}, of {many} images, {'; '.join(wrong[:3])}")


def what_is_guessed_is_an_answer(trial: Trial) -> None:
    """`guess`, where there is one, gives outputs as the network does, in finite numbers."""
    for tried in tries(trial):
        if (guess := tried.task.guess(tried.targets, tried.space)) is None:
            raise NotApplicable("it guesses nothing")
        fits = tuple(guess.shape) == (tried.space.outputs,) and bool(guess.isfinite().all())
        expect(fits, f"{trial.label} guesses {guess!r:.80}, not {tried.space.outputs} finite outputs")
        same = guess.equal(tried.task.guess(tried.targets, tried.space))  # type: ignore[arg-type]
        expect(same, f"{trial.label} guesses otherwise each time")


def what_is_uncertain_is_a_number_an_image(trial: Trial) -> None:
    """`uncertainty`, where there is one, gives a finite value an image; names that answers say are the space's."""
    for tried in tries(trial):
        names = set(tried.space.names)
        for each in _answers(tried):
            strange = {*(each.every() or ()), *(each.folders() or ())} - names
            expect(not strange, f"{trial.label} answers with names that its space has not: {sorted(strange)[:3]}")
        if tried.task.record.uncertainty is None:
            raise NotApplicable("it does not say how uncertain its answers are")
        space = tried.task.calibrate(tried.outputs, tried.targets, tried.space)
        values = tried.task.uncertainty(tried.outputs, space)
        fine = values.shape == (len(tried.outputs),) and bool(values.isfinite().all())
        expect(fine, f"{trial.label} gives an uncertainty of {list(values.shape)}, not a finite number an image")


def views_average_to_an_answer(trial: Trial) -> None:
    """Outputs for views that are alike average to themselves, and those for others do not depend on their order."""
    import torch

    for tried in tries(trial):
        space = tried.task.calibrate(tried.outputs, tried.targets, tried.space)
        same = tried.task.average(torch.stack([tried.outputs] * 3), space)
        expect(same.shape == tried.outputs.shape, f"{trial.label} averages to {list(same.shape)}, not [N, K]")
        one, three = _figures(tried, tried.outputs), _figures(tried, same)
        apart = [name for name in one if not math.isclose(one[name], three[name], rel_tol=1e-4, abs_tol=1e-5)]
        expect(not apart, f"{trial.label}: the average of views that are alike has another {', '.join(apart)}")
        views = torch.stack([tried.outputs, tried.outputs.flip(0), tried.outputs.neg()])
        averages = tried.task.average(views, space), tried.task.average(views.flip(0), space)
        expect(torch.allclose(*averages, atol=1e-5), f"{trial.label} averages views otherwise in another order")


def answer(component: Component, argument: None, settings: Any) -> str:
    """What it makes of the labels."""
    tried = try_out(component, settings)
    told = [each.said(3) for each in _answers(tried)]
    return json.dumps([tried.targets.tolist(), told, dict(_figures(tried, tried.outputs))])


def _through_json(value: Any, whose: str) -> Any:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise NotSo(f"{whose} that JSON does not keep: {error}; hold texts, numbers and lists") from None


def _figures(tried: Tried, outputs: torch.Tensor) -> Mapping[str, float]:
    meter = tried.task.meter(tried.space)
    meter.add(outputs, tried.targets)
    return meter.figures()


def _meter(tried: Tried, first: int, last: int) -> Meter:
    """What has counted some of the images, one by one."""
    meter = tried.task.meter(tried.space)
    for index in range(first, last):
        meter.add(tried.outputs[index : index + 1], tried.targets[index : index + 1])
    return meter


def _answers(tried: Tried) -> list[Answer]:
    space = tried.task.calibrate(tried.outputs, tried.targets, tried.space)
    return list(tried.task.predict(tried.outputs, space))


CHECKS: tuple[Check, ...] = (
    labels_become_targets,
    a_label_of_another_kind_is_refused,
    the_loss_is_a_mean,
    the_loss_follows_from_outputs,
    meters_add_up,
    answers_are_one_an_image,
    what_is_counted_is_a_number_an_image,
    what_is_calibrated_is_kept,
    what_is_known_stays_known,
    what_a_page_shows_is_of_the_split,
    what_is_guessed_is_an_answer,
    what_is_uncertain_is_a_number_an_image,
    views_average_to_an_answer,
    what_is_exported_is_what_is_answered,
)
