"""The listener that people see: a run's events as lines on the console."""

from __future__ import annotations

from ft.machine.display import Display
from ft.run.checkpoints import EpochRecord
from ft.tracking.events import EpochDone, Event, FeaturesReady, ImagesReady, PenaltyDone, RunStarted
from ft.tracking.listener import Listener

WORDY = 120
"""The width from which a line of figures names them."""


def console(display: Display) -> Listener:
    """Return who prints on `display` what a run tells; it says nothing of what is seen by other means."""

    def listen(event: Event) -> None:
        match event:
            case RunStarted():
                _started(event, display)
            case FeaturesReady():
                display.say(f"features of the frozen prefix: {_features(event)}")
            case ImagesReady():
                display.say(f"images: {_images(event)}")
            case EpochDone(record, epochs, _, is_best):
                title = f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}"
                display.tell(_figures(title, record, is_best, display))
            case PenaltyDone(record, penalties, is_best):
                title = f"penalty {record.penalty:8.1e} ({record.epoch}/{penalties})"
                display.tell(_figures(title, record, is_best, display))

    return listen


def _started(event: RunStarted, display: Display) -> None:
    """What is about to happen, in a few lines; `ft plan` shows all of it."""
    plan = event.plan
    images = ", ".join(f"{number} {split}" for split, number in plan.images.items() if number)
    total = plan.frozen_numel + plan.trainable_numel
    display.say(f"{plan.backbone}, weights {plan.weights}")
    if plan.data == "demo":
        display.say("images are ft's built-in demo set; give your own with --data PATH")
    display.say(f"{len(plan.classes)} classes, {images} images of {plan.image_size} px")
    display.say(f"{plan.trainable_numel:,} of {total:,} parameters train, on {plan.device} in {plan.precision}")
    for note in (*event.notes, *plan.notes):
        display.say(note)
    for warning in plan.warnings:
        display.warn(warning)
    display.say(f"run folder {event.folder}")


def _features(event: FeaturesReady) -> str:
    """Where the frozen prefix's features came from."""
    source = f"computed for {event.computed} images in {event.seconds:.1f} s" if event.computed else "found"
    return source if event.decoded else f"{source}, no image was decoded"


def _images(event: ImagesReady) -> str:
    """Where decoded images came from."""
    before = [f"{event.ahead} decoded while they were checked"] if event.ahead else []
    now = [f"{event.decoded} decoded in {event.seconds:.1f} s"] if event.decoded else []
    return ", ".join((*before, *now)) or "found, none was decoded"


def _figures(title: str, record: EpochRecord, is_best: bool, display: Display) -> str:
    """A line of figures; on a narrow terminal it does without the words."""
    loss, accuracy, f1 = "loss ", " accuracy ", "macro F1 "
    if display.out.is_terminal and display.out.width < WORDY:
        loss, accuracy, f1 = "", "", "F1 "
    return (
        f"{title}  train {loss}{record.train_loss:.4f} {accuracy}{record.train_accuracy:6.1%}   "
        f"val {loss}{record.val.loss:.4f} {accuracy}{record.val.accuracy:6.1%}  "
        f"{f1}{record.val.macro_f1:.3f}   {record.seconds:.1f} s{'  best' if is_best else ''}"
    )
