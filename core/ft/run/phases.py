"""The phases of a run whose config lists some: where the run stands, and what is on record of each that has begun.

Which phase a run is in is said by its last state alone, last.pt: as many phases have begun as are listed there. What
phases.json has beyond them is of a phase whose beginning was cut short, and is written anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ft.errors import FtError
from ft.extension.tasks import Figure
from ft.plan.records import Place
from ft.run.checkpoints import Checkpoint
from ft.run.folder import Run
from ft.run.position import Position, best_epoch
from ft.run.records import PHASES, PhaseBegun, PhasesFile, read_record

Asked = Mapping[str, Any]
"""Everything that a phase may say, as plain data, by the keys of a phase."""


def standing(run: Run | None, asked: Sequence[Asked]) -> Place:
    """Where a run stands among the phases that are `asked` for: in the first, where it is new.

    Raises FtError where fewer are asked for than have begun, and where one that has begun was asked for otherwise.
    """
    if run is None:
        return Place(of=len(asked))
    begun = run.read_checkpoint("last").position.phases
    known = begun_phases(run)[: len(begun)]
    if len(begun) > len(asked):
        raise FtError(f"{run.path} is in phase {len(begun)} already, and its config lists {len(asked)}; put them back")
    if len(begun) > 1 and len(known) < len(begun):
        raise FtError(f"{run.path} did not begin in phases, and was changed on the way: it goes on without `phases`")
    for number, (then, now) in enumerate(zip(known, asked, strict=False), start=1):
        if others := sorted(name for name in now if then.asked.get(name) != now[name]):
            raise FtError(
                f"{run.path} cannot go on as it began: phase {number} has begun, and its {', '.join(others)} changed "
                "since then; undo that. Phases that have not begun may be changed, and others added"
            )
    return Place(len(begun), len(asked), begun[-1].epoch)


def begun_phases(run: Run) -> tuple[PhaseBegun, ...]:
    """What is on record of the phases that have begun; none of a run whose config lists none."""
    return read_record(run.path / PHASES, PhasesFile).phases if (run.path / PHASES).exists() else ()


def note_begun(run: Run, place: Place, begun: PhaseBegun, anew: bool) -> None:
    """Put on record that a phase begins; what is there of it already stays, unless it begins `anew`."""
    known = begun_phases(run)
    if anew or len(known) < place.number:
        _write(run, (*known[: place.number - 1], begun))


def note_ended(run: Run, position: Position, figure: Figure, digest: str) -> None:
    """Put on record that the last phase that has begun is over, with the digest of what is frozen. That this differs
    from what it was when the phase began, in whichever process that was, is a bug, never a result."""
    number = len(position.phases)
    known = begun_phases(run)[:number]
    if not known:
        return
    *before, last = known
    then = last.frozen_digest_before
    assert digest == then, f"frozen tensors moved in phase {number}: digest {then} became {digest}"
    best = best_epoch(position.in_phase, figure).epoch
    done = {"ended": position.epoch, "best_epoch": best, "frozen_digest_after": digest}
    _write(run, (*before, last.model_copy(update=done)))


def best_state(run: Run, figure: Figure) -> tuple[str, Checkpoint]:
    """The best state of the phase that is over, and the name of its checkpoint: best.pt, unless that is of an earlier
    phase. Raises FtError where it is gone."""
    position = run.read_checkpoint("last").position
    averaged = position.averaged
    epoch = position.epoch if averaged else best_epoch(position.in_phase, figure).epoch
    for name in ("best", "phase"):
        if run.has_checkpoint(name):
            found = run.read_checkpoint(name)
            if found.position.epoch == epoch and found.position.averaged == averaged:
                return name, found
    raise FtError(f"{run.path} lacks phase.pt, with the state after epoch {epoch} from which its next phase begins")


def _write(run: Run, phases: Sequence[PhaseBegun]) -> None:
    run.write_json(PHASES, PhasesFile(phases=tuple(phases)).model_dump(mode="json"))
