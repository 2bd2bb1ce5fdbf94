"""How a run goes on: as it was, or with another freeze, for which it keeps the state of whatever still trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ft.config.schema import Config
from ft.errors import FtError
from ft.machine.display import Display
from ft.model.freezing import trainable_names
from ft.plan.records import Plan
from ft.run.checkpoints import Checkpoint, moving_tensors
from ft.run.folder import Run
from ft.run.position import Position, epochs_averaged, phase_from
from ft.run.records import AVERAGE
from ft.text.counting import number_of
from ft.text.names import typed

MAY_CHANGE = (
    *("frozen", "frozen_modules", "frozen_numel", "trainable_numel"),
    *("stages", "groups", "epochs", "warmup_steps"),
)
"""What of a plan follows from the freeze, the learning rates and the number of epochs."""


def to_go_on(run: Run | None) -> Run | None:
    """The run, where it has a checkpoint to go on from, which then is its latest state; else None.

    A kill between the writing of best.pt and of last.pt leaves the later state in best.pt alone; last.pt becomes that.
    """
    if run is not None and (run.path / AVERAGE).exists():
        start = typed("ft", "run", "--from", run.path, "--data", "PATH")
        raise FtError(f"{run.path} is an average of runs, which was not trained; train on from it with: {start}")
    if run is None or not run.has_checkpoint("last"):
        return None
    last = run.read_checkpoint("last")
    if last.position.history:  # else best.pt, if there is one, is of an attempt that was killed in its first epoch
        best = run.read_checkpoint("best")
        if best.position.epoch > last.position.epoch:
            run.save_checkpoint("last", best)
            run.log(best.position)
    return run


def as_begun(config: Config, run: Run | None) -> Config:
    """The config with the precision that `run` began with, also where it was `auto` and an older ft did not say. A run
    in phases says it for each of them."""
    if run is None or config.phases or config.machine.precision != "auto" or config.machine.resolved is not None:
        return config
    machine = config.machine.model_copy(update={"resolved": run.plan_file().precision})
    return config.model_copy(update={"machine": machine})


def selected_before(run: Run | None, config: Config) -> Mapping[str, Sequence[str]] | None:
    """What freezing strategies that look at images selected for `run`; None when `config` has another freeze."""
    if run is None:
        return None
    planned = run.plan_file()
    then, now = planned.phases[-1], phase_from(config)
    return planned.selected if (then.freeze, then.train) == (now.freeze, now.train) else None


def statistics_set_free(stood: Sequence[str], module: nn.Module) -> list[str]:
    """Say which BatchNorm layers of `module`, in the modes it goes on in, follow the images and did not while the
    modules at the paths `stood` were frozen."""
    freed = [
        path
        for path, layer in module.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
        and layer.training
        and layer.track_running_stats
        and any(path == kept or path.startswith(f"{kept}.") for kept in stood)
    ]
    if not freed:
        return []
    return [
        f"the statistics of {number_of(len(freed), 'BatchNorm layer')} stood still until now ({freed[0]} first) and "
        "follow your images from here on, so the loss may jump at first; add --freeze type:norm to keep them as they "
        "are"
    ]


@dataclass(frozen=True, eq=False)
class Ahead:
    """What a run goes on with: the plan, the config that it follows from, and the one of the whole run, which is
    another where that lists phases; and what the run is made with from here on."""

    plan: Plan
    config: Config
    whole: Config
    versions: Mapping[str, Any]


def go_on(run: Run, module: nn.Module, ahead: Ahead, display: Display) -> Position:
    """Make the folder that of a run which goes on as is planned, from its last state, which `module` holds. Return how
    far it has come.

    What newly trains begins with fresh optimizer state. Raises FtError, having changed nothing, when the plan differs
    in more than what follows from the freeze, the learning rates and the number of epochs, or nothing would be left to
    do, and of a run in phases when it differs at all.
    """
    plan, last = ahead.plan, run.read_checkpoint("last")
    position = last.position
    phase = phase_from(ahead.config, position.epoch, position.step)
    if last.plan_digest == plan.digest() and phase == replace(position.phases[-1], epoch=phase.epoch, step=phase.step):
        run.add_versions(ahead.versions)
        run.write_config(ahead.whole)  # what is kept, how a batch is computed and who listens may differ
        run.write_plan(plan, position.phases)
        return position
    _check(run, last, ahead)
    display.say(_account(module, last, last.optimizer, plan))
    return change(run, module, ahead, last, last.optimizer)


def hand_over(run: Run, module: nn.Module, ahead: Ahead, state: Checkpoint, display: Display) -> Position:
    """Make the folder that of a run whose next phase begins, as is planned, from a `state` of the one before, which
    `module` holds. Return how far it has come.

    What newly trains begins with fresh optimizer state, and everything does where `state` brings none.
    """
    last, place = run.read_checkpoint("last"), ahead.plan.place
    averaged = state.position.averaged
    began = f"the averaged weights of {epochs_averaged(averaged.of)}" if averaged else ""
    display.say(
        f"{place} begins with {began or f'the weights of epoch {state.position.epoch}'}; "
        f"{_account(module, last, state.optimizer, ahead.plan)}"
    )
    return change(run, module, ahead, last, state.optimizer)


def change(
    run: Run, module: nn.Module, ahead: Ahead, last: Checkpoint, optimizer: Mapping[str, Mapping[str, Any]]
) -> Position:
    """Write down that what was asked for changes after the `last` state, from which on `module` and the `optimizer`'s
    state are what the run has. Return how far it has come.

    A kill after any of the writes leaves a run in its last state: until last.pt is written it is the old plan's, and
    the files before it hold more than that needs, never something else.
    """
    plan, position = ahead.plan, last.position
    if position.history:  # best.pt gets what was frozen until now, as that may move from now on
        best = run.read_checkpoint("best")
        run.save_checkpoint("best", replace(best, tensors={**module.state_dict(), **best.tensors}))
    run.keep_frozen(module, {})
    run.add_versions(ahead.versions)
    run.write_config(ahead.whole)
    position.phases.append(phase_from(ahead.config, position.epoch, position.step))
    kept = {name: state for name, state in optimizer.items() if name not in plan.frozen}
    tensors = moving_tensors(module, plan.frozen, plan.frozen_modules)
    run.save_checkpoint("last", Checkpoint(position, tensors, kept, plan.digest()))
    run.write_plan(plan, position.phases)
    return position


def phase_begins(position: Position) -> bool:
    """Whether nothing of the last phase is done yet."""
    return (position.phases[-1].epoch, position.phases[-1].step) == (position.epoch, position.step)


def _check(run: Run, last: Checkpoint, ahead: Ahead) -> None:
    plan = ahead.plan
    if ahead.whole.phases:
        raise FtError(
            f"{run.path} cannot go on as it began: {plan.place} has begun, and what it is asked for changed since "
            "then; undo that. Phases that have not begun may be changed, and others added"
        )
    if others := [key for key in run.what_changed(plan) if key not in MAY_CHANGE]:
        changed = f"{', '.join(others)} changed since then"
        raise FtError(f"{run.path} cannot go on as it began: {changed}; undo that, or start a new run")
    if plan.optimizer.solves:
        name = plan.optimizer.name
        raise FtError(
            f"{run.path} was fitted by --optimizer {name}, which has one freeze and takes no steps; start a new run"
        )
    if plan.epochs <= (done := last.position.epoch):
        raise FtError(
            f"{run.path} has done {number_of(done, 'epoch')}, and {plan.epochs} are asked for; add --epochs {done + 5}"
        )


def _account(module: nn.Module, last: Checkpoint, optimizer: Mapping[str, Any], plan: Plan) -> str:
    """What changes, in tensors and parameters, and what becomes of the optimizer's state."""
    numel = {name: parameter.numel() for name, parameter in module.named_parameters()}
    before, now = set(numel) & set(last.tensors), set(trainable_names(module, plan.frozen))
    thawed, frozen, restored = now - before, before - now, now & set(optimizer)
    step = f", step {last.position.step}" if last.position.step else ""
    what = "the freeze" if thawed or frozen else "what was asked for"
    return (
        f"{what} changed after epoch {last.position.epoch}{step}: "
        f"{_count(thawed, numel)} {'trains now that was' if len(thawed) == 1 else 'train now that were'} frozen, "
        f"{_count(frozen, numel)} {'is' if len(frozen) == 1 else 'are'} frozen now; "
        f"optimizer state restored for {number_of(len(restored), 'tensor')}, fresh for {len(now) - len(restored)}"
    )


def _count(names: set[str], numel: Mapping[str, int]) -> str:
    return f"{number_of(len(names), 'tensor')} ({sum(numel[name] for name in names):,} parameters)"
