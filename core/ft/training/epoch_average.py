"""Averages of the weights at the ends of epochs: of the last ones (SWA: Izmailov et al. 2018), or of those of the best
ones that go well together (a greedy soup: Wortsman et al. 2022).

What is averaged lies in the run's folder, a checkpoint for each epoch, until the average is made.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ft.config.training import TrainingConfig
from ft.extension.tasks import Figure
from ft.job import Job
from ft.machine.parts import own_part
from ft.model.state_dict import put_tensors
from ft.plan.records import Plan
from ft.run.checkpoints import Checkpoint, moving_tensors
from ft.run.folder import Run
from ft.run.position import AveragedEpochs, EpochRecord, Position, best_epoch, epochs_averaged, merit
from ft.task.evaluation import figures_of
from ft.training.batchnorm import recount_statistics
from ft.training.joint import Joint
from ft.training.soup import Made, Mean, Tensors, greedy_soup

CALLED = {"swa": "SWA", "soup": "soup"}


def averages_epochs(training: TrainingConfig) -> bool:
    """Whether weights at the ends of epochs are averaged."""
    return bool(training.swa or training.soup)


def keep_weights(run: Run, state: Checkpoint, plan: Plan, training: TrainingConfig, monitor: Figure) -> None:
    """Keep the weights of the epoch that is over, if they may be averaged when the phase is."""
    if state.position.epoch in _kept(state.position, plan, training, monitor):
        kept = replace(state, tensors=state.weights, average={}, optimizer={})
        run.save_checkpoint(_name(state.position.epoch), kept)


def forget_weights(run: Run, position: Position, plan: Plan, training: TrainingConfig, monitor: Figure) -> None:
    """Remove what was kept and will not be averaged; all of it, where the average is made."""
    if not run.writes:
        return
    done = _is_done(position) or not averages_epochs(training)
    wanted = set[int]() if done else _kept(position, plan, training, monitor)
    names = {f"{_name(epoch)}.pt" for epoch in wanted}
    for file in run.path.glob(f"{_name('*')}.pt"):
        if file.name not in names:
            with suppress(FileNotFoundError):
                file.unlink()


def average_epochs(module: nn.Module, plan: Plan, joint: Joint, job: Job, run: Run, position: Position) -> None:
    """Average what was kept, and make it the best state of the run, or of the phase, where it is better on the
    validation images than any epoch; what came of it is put on record and said.

    `module` is afterwards as before. A run that was stopped meanwhile does it anew, with the same outcome. Raises
    StopAsked when a signal asks to stop.
    """
    training, monitor = job.config.training, job.figure
    if not averages_epochs(training) or not position.in_phase or _is_done(position):
        return
    job.processes.summed(0)  # until what is averaged is written
    trial = _Trial(module, plan, joint, job, run, position)
    own = {name: tensor.clone() for name, tensor in trial.moving().items()}
    try:
        made = (_last if training.swa else _greedy)(trial)
    finally:
        put_tensors(module, own)
    found, phase_best = merit(made.val, monitor), best_epoch(position.in_phase, monitor)
    rival = phase_best.merit(monitor) if plan.place.of > 1 else position.best_merit(monitor)
    better, best_of_all = len(made.of) > 1 and found > rival, found > position.best_merit(monitor)
    finite = {name: value for name, value in made.val.items() if math.isfinite(value)}
    kind = "swa" if training.swa else "soup"
    last = run.read_checkpoint("last")
    position.averages.append(AveragedEpochs(kind, list(made.of), position.epoch, finite, better))
    if better:
        run.save_checkpoint("best" if best_of_all else "phase", replace(last, position=position, average=made.tensors))
    run.save_checkpoint("last", replace(last, position=position))
    forget_weights(run, position, plan, training, monitor)
    job.display.say(_account(position.averages[-1], phase_best, monitor))


@dataclass(frozen=True, eq=False)
class _Trial:
    """What averages are tried with."""

    module: nn.Module
    plan: Plan
    joint: Joint
    job: Job
    run: Run
    position: Position

    def moving(self) -> dict[str, Tensor]:
        return moving_tensors(self.module, self.plan.frozen, self.plan.frozen_modules)

    def weights(self, epoch: int) -> Tensors:
        return self.run.read_checkpoint(_name(epoch)).tensors

    def measured(self, epochs: Sequence[int], tensors: Tensors) -> Made[int]:
        """Put averaged tensors into the network, have it measure its BatchNorm statistics anew, and validate it."""
        put_tensors(self.module, {name: own_part(tensors[name], own) for name, own in self.moving().items()})
        recount_statistics(self.module, self.plan, self.joint, self.job, self.position.epoch)
        self.module.eval()
        val = figures_of(self.joint.validation(), self.job.data.task, self.job.data.space, self.job.processes)
        moving = self.joint.whole(self.moving())
        found = {name: tensor.detach().cpu().clone() for name, tensor in moving.items()}
        return Made(tuple(epochs), found, val)


def _last(trial: _Trial) -> Made[int]:
    """The average of the last epochs, each counting alike (Izmailov et al. 2018, algorithm 1)."""
    epochs = sorted(_kept(trial.position, trial.plan, trial.job.config.training, trial.job.figure))
    mean = Mean()
    for epoch in epochs:
        mean.add(trial.weights(epoch))
    return trial.measured(epochs, mean.tensors())


def _greedy(trial: _Trial) -> Made[int]:
    """A greedy soup of the best epochs (Wortsman et al. 2022, algorithm 1)."""
    monitor, training = trial.job.figure, trial.job.config.training
    kept = _kept(trial.position, trial.plan, training, monitor)
    ranked = _ranked([each for each in trial.position.in_phase if each.epoch in kept], monitor)
    return greedy_soup([(each.epoch, each.val) for each in ranked], trial.weights, trial.measured, monitor)


def _kept(position: Position, plan: Plan, training: TrainingConfig, monitor: Figure) -> set[int]:
    """The finished epochs of the phase whose weights may be averaged."""
    if training.swa:
        return {each.epoch for each in position.in_phase if each.epoch > plan.epochs - training.swa}
    return {each.epoch for each in _ranked(position.in_phase, monitor)[: training.soup]}


def _ranked(history: Collection[EpochRecord], monitor: Figure) -> list[EpochRecord]:
    """The best first; of equals the earlier."""
    return sorted(history, key=lambda each: each.merit(monitor), reverse=True)


def _is_done(position: Position) -> bool:
    return bool(position.averages) and position.averages[-1].after == position.epoch


def _name(epoch: int | str) -> str:
    return f"epoch-{epoch}"


def _account(made: AveragedEpochs, best: EpochRecord, monitor: Figure) -> str:
    def told(val: Mapping[str, float]) -> str:
        figures = "" if monitor.name == "loss" else f"{monitor.title} {monitor.written(val[monitor.name])}, "
        return f"{figures}loss {val['loss']:.4f}" if {"loss", monitor.name} <= val.keys() else "no numbers"

    one = f"epoch {best.epoch} ({told(best.val)})"
    if len(made.of) == 1:
        return f"no average of the best epochs is better on the validation images than {one}, which stays"
    average = f"the average of {epochs_averaged(made.of)} ({CALLED[made.kind]}) has {told(made.val)}"
    return f"{average}; {'it is saved instead of' if made.taken else 'it is no better than'} {one}"
