"""The listener that people see: a run's events as lines on the console."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ft.extension.tasks import Figure
from ft.machine.display import Display
from ft.plan.records import Plan
from ft.run.position import EpochRecord
from ft.text.counting import number_of
from ft.tracking.events import EpochDone, Event, FeaturesReady, ImagesReady, PenaltyDone, PhaseStarted, RunStarted
from ft.tracking.listener import Listener

WORDY = 120
"""The width from which a line of figures names them."""


def console(display: Display) -> Listener:
    """Return who prints on `display` what a run tells; it says nothing of what is seen by other means."""

    warned: set[str] = set()

    def listen(event: Event) -> None:
        match event:
            case RunStarted(plan=plan):
                _started(event, display)
                warned.update(plan.warnings)
            case PhaseStarted(_, plan) if plan is not None and plan.place.of > 1:
                _phase(plan, warned, display)
                warned.update(plan.warnings)
            case FeaturesReady():
                display.say(f"features of the frozen prefix: {_features(event)}")
            case ImagesReady():
                display.say(f"images: {_images(event)}")
            case EpochDone(record, epochs, _, is_best, about):
                title = f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}"
                display.tell(_figures(title, record, is_best, about, display))
            case PenaltyDone(record, penalties, is_best, about):
                title = f"penalty {record.penalty:8.1e} ({record.epoch}/{penalties})"
                display.tell(_figures(title, record, is_best, about, display))

    return listen


def _started(event: RunStarted, display: Display) -> None:
    """What is about to happen, in a few lines; `ft plan` shows all of it."""
    plan = event.plan
    images = ", ".join(f"{number} {split}" for split, number in plan.images.items() if number)
    total = plan.frozen_numel + plan.trainable_numel
    display.say(f"{plan.backbone}, weights {plan.weights}")
    if plan.data == "demo":
        display.say("images are ft's built-in demo set; give your own with --data PATH")
    display.say(f"{number_of(len(plan.classes), *plan.noun)}, {images} images of {plan.image_size} px")
    display.say(f"{plan.trainable_numel:,} of {total:,} parameters train, on {plan.device} in {plan.precision}")
    if plan.budget:
        display.say(f"time budget {plan.budget}")
    for note in (*event.notes, *plan.notes):
        display.say(note)
    for warning in plan.warnings:
        display.warn(warning)
    display.say(f"run folder {event.folder}")


def _phase(plan: Plan, warned: Collection[str], display: Display) -> None:
    """What is about to happen in a phase, and what it warns of that was not `warned` of before."""
    total = plan.frozen_numel + plan.trainable_numel
    display.say(
        f"{plan.place}: {plan.trainable_numel:,} of {total:,} parameters train, by {plan.optimizer.name}, up to epoch "
        f"{plan.epochs}"
    )
    for warning in plan.warnings:
        if warning not in warned:
            display.warn(warning)


def _features(event: FeaturesReady) -> str:
    """Where the frozen prefix's features came from."""
    source = f"computed for {event.computed} images in {event.seconds:.1f} s" if event.computed else "found"
    return source if event.decoded else f"{source}, no image was decoded"


def _images(event: ImagesReady) -> str:
    """Where decoded images came from."""
    before = [f"{event.ahead} decoded while they were checked"] if event.ahead else []
    now = [f"{event.decoded} decoded in {event.seconds:.1f} s"] if event.decoded else []
    return ", ".join((*before, *now)) or "found, none was decoded"


def _figures(title: str, record: EpochRecord, is_best: bool, about: Sequence[Figure], display: Display) -> str:
    """A line of figures: the loss and what was counted in training, the loss and the first two figures in validation.
    On a narrow terminal only the last one has its name."""
    named = {figure.name: figure for figure in about}
    narrow = display.out.is_terminal and display.out.width < WORDY
    gap = " " if narrow else "  "

    def said(name: str, value: float, named_too: bool) -> str:
        figure = named.get(name, Figure(name, name, ".4f"))
        written = figure.written(value).rjust(6 if figure.form.endswith("%") else 0)
        title = (figure.short or figure.title) if narrow else figure.title
        return f"{title} {written}" if named_too else written

    train = gap.join(said(name, value, not narrow) for name, value in record.train.items())
    shown = ["loss", *(name for name in named if name != "loss" and name in record.val)][:3]
    val = gap.join(said(name, record.val[name], not narrow or [name] == shown[2:]) for name in shown)
    return (
        f"{title}  {_trained(record, train, narrow)}   val {val}   {record.seconds:.1f} s{'  best' if is_best else ''}"
    )


def _trained(record: EpochRecord, train: str, narrow: bool) -> str:
    """How training went; or, where heads train side by side, with what the best of them trains."""
    if record.candidate is None:
        return f"train {train}"
    said = f"lr {record.candidate.lr:g}" if narrow else str(record.candidate)
    return said if narrow else f"{said}  train {train}"
