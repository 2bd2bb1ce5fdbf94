"""A sweep as people read it: a line for each trial that ends, and a table at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ft.extension.tasks import Figure
from ft.machine.display import Display
from ft.machine.layout import Columns, print_pairs, print_table
from ft.run.records import to_predict
from ft.text.counting import number_of
from ft.text.durations import as_duration
from ft.text.names import typed
from ft.tuning.records import PAGE, Swept, Trial

MOST_ROWS = 20
"""Trials in the table; the page has all of them."""
_NARROW = 24
"""Characters of what a trial set, of one key, in the table."""


def line_of(trial: Trial, figure: Figure) -> str:
    """A trial that has ended, in a line."""
    values = ", ".join(f"{name} {text}" for name, text in trial.values.items())
    if trial.state == "failed":
        return f"trial {trial.number} failed: {_first_line(trial.why)} ({values})"
    came_to = "" if trial.figure is None else f" {figure.title} {figure.written(trial.figure)}"
    early = f", pruned after epoch {trial.epochs}" if trial.state == "pruned" else ""
    return f"trial {trial.number}:{came_to}{early}, {as_duration(trial.seconds)}: {values}"


def print_swept(found: Swept, display: Display) -> None:
    """The table of trials, the best first, what matters, and what to type to use the best one."""
    display.tell("")
    _print_table(found, display)
    display.tell(_counted(found))
    failed = [each for each in found.trials if each.state == "failed"]
    for why, count in Counter(_first_line(each.why) for each in failed).most_common():
        which = ", ".join(str(each.number) for each in failed if _first_line(each.why) == why)
        display.tell(f"trial{'s' if count > 1 else ''} {which} failed: {why}")
    if found.importance:
        said = ", ".join(f"{name} {share:.0%}" for name, share in found.importance.items())
        display.tell(f"what matters: {said}")
    print_pairs(list(_next(found)), display.out)


def _print_table(found: Swept, display: Display) -> None:
    names = list(dict.fromkeys(name for each in found.trials for name in each.values))
    matter = [*(found.importance or ()), *(name for name in names if name not in (found.importance or ()))]
    front = {each.number for each in found.front}
    pruned = [each for each in found.trials if each.state == "pruned"]
    rows = [
        (
            f"{each.number} {'*' if each.number in front and len(front) > 1 else ' '}",
            "-" if each.figure is None else found.figure.written(each.figure),
            as_duration(each.seconds),
            str(each.epochs),
            *(_short(each.values.get(name, "-")) for name in names),
        )
        for each in (*found.ranked, *sorted(pruned, key=found.merit))
    ]
    headers = ("trial  ", found.figure.short or found.figure.title, "time", "epochs", *names)
    columns = Columns(right=headers[:4], spare=("epochs", *reversed(matter), "time"))
    print_table(headers, rows[:MOST_ROWS], columns, console=display.out)
    if len(rows) > MOST_ROWS:
        display.tell(f"{len(rows) - MOST_ROWS} more are in {found.folder / PAGE}")
    if len(front) > 1:
        display.tell("* no other trial is both better and faster (Pareto's front)")


def _counted(found: Swept) -> str:
    said = [f"{found.count('done')} done"]
    said += [f"{count} {state}" for state in ("pruned", "failed") if (count := found.count(state))]
    left = found.wanted - sum(each.ended for each in found.trials)
    said += [f"{left} to go"] if left > 0 else []
    return f"{number_of(found.wanted, 'trial')}: {', '.join(said)}"


def _next(found: Swept) -> Iterator[tuple[str, str]]:
    best = found.best
    if best is not None:
        folder = found.folder / best.name
        yield "best", f"trial {best.number}, in {folder}"
        yield "use it", to_predict(folder)
        yield "repeat it", typed("ft", "run", "--config", folder / "config.yaml")
    yield "page", str(found.folder / PAGE)
    if any(not each.ended for each in found.trials) or len(found.trials) < found.wanted:
        yield "go on", found.go_on()
    else:
        yield "more", found.go_on("--trials", 2 * found.wanted)


def _short(text: str) -> str:
    return text if len(text) <= _NARROW else f"{text[: _NARROW - 1]}…"


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""
