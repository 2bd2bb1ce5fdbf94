"""What came of a run as people read it: what `ft run` and `ft evaluate` print."""

from __future__ import annotations

from pathlib import Path

from ft.machine.display import Display
from ft.machine.layout import Columns, print_matrix, print_pairs, print_table, times
from ft.run.report import Report, doubts, hints
from ft.task.metrics import Evaluation
from ft.text.names import typed

MOST_CONFUSED = 12
"""A confusion matrix of more classes than this does not fit on a screen; the pairs that are confused most do."""
MANY_CLASSES = 40
"""A table of more classes than this is read by nobody; of them the worst are shown."""
WORST = 12
"""How many classes, and pairs of classes, are shown where there are more than fit."""


def print_report(report: Report, folder: Path, display: Display) -> None:
    """The saved model's figures, a row for every class, the proof of the freeze, and where the model lies.

    Then what may be unexpected about the figures, and what may be better still.
    """
    where = str(folder / "report.json")
    display.tell("")
    print_evaluation(report.val, f"best epoch {report.best_epoch} of {report.epochs}, validation", where, display)
    if report.test is not None:
        print_evaluation(report.test, "test", where, display)
    proof = f"sha256 {report.frozen_digest_after[:12]} before and after"
    print_pairs(
        [
            ("frozen", f"{report.frozen_parameters:,} parameters, unchanged with their buffers ({proof})")
            if report.frozen_parameters
            else ("frozen", "nothing"),
            ("trained", f"{report.trainable_parameters:,} parameters in {report.seconds:.1f} s"),
            ("once", _cache_came_to(report)),
            ("run", str(folder)),
            ("use it", typed("ft", "predict", folder, "IMAGES")),
        ],
        display.out,
    )
    for doubt in doubts(report, folder):
        display.warn(doubt)
    for hint in hints(report, folder):
        display.say(hint)


def print_evaluation(evaluation: Evaluation, title: str, where: str, display: Display) -> None:
    """Loss, accuracy and macro F1, then the classes and what they were taken for.

    All of it where it fits on a screen; of many classes those that cost most, the rest being `where` it says.
    """
    display.tell(
        f"{title}: accuracy {evaluation.accuracy:.1%}, macro F1 {evaluation.macro_f1:.3f}, loss {evaluation.loss:.4f}"
    )
    display.tell("")
    few = len(evaluation.classes) <= MANY_CLASSES
    classes = evaluation.classes if few else evaluation.costliest()[:WORST]
    rows = [(c.name, f"{c.precision:.1%}", f"{c.recall:.1%}", f"{c.f1:.3f}", c.support) for c in classes]
    headers = ("class", "precision", "recall", "F1", "images")
    print_table(headers, rows, Columns(right=headers[1:], squeeze="class"), console=display.out)
    mistakes = evaluation.mistakes
    if len(evaluation.classes) <= MOST_CONFUSED:
        print_matrix([each.name for each in evaluation.classes], evaluation.matrix(), display.out)
        return
    pairs = [(each.label, each.predicted, each.images) for each in mistakes[:WORST]]
    if pairs:
        print_table(("images of", "taken for", "times"), pairs, Columns(right=("times",)), console=display.out)
    if left := _left_out(len(evaluation.classes) - len(classes), len(mistakes) - len(pairs)):
        display.tell(f"The worst come first; {left} are in {where}.")


def _left_out(classes: int, pairs: int) -> str:
    counted = ((classes, "classes"), (pairs, "pairs of classes"))
    return " and ".join(f"{number:,} more {what}" for number, what in counted if number > 0)


def _cache_came_to(report: Report) -> str:
    cost = report.cache
    if cost.promise == "off":
        return f"nothing was computed once: {cost.reason}"
    if not cost.computed and cost.ceiling == 1.0:
        source = f"{cost.decoded} decoded" if cost.decoded else "found in the store"
        return f"images {source}; nothing of the network was computed once: {cost.reason}"
    source = f"computed for {cost.computed} images in {cost.seconds:.1f} s" if cost.computed else "found in the store"
    came_to = f"epochs {times(report.speedup)} as fast, " if report.speedup else ""
    return f"features {source}; {cost.promise}, {came_to}ceiling {times(cost.ceiling)}"
