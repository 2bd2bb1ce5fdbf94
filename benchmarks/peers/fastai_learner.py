"""fastai's Learner, frozen but for its last group of parameters, with its Adam (which decouples weight decay) and
one-cycle schedule.

As fastai does by default, a last short batch is dropped in training. Images are preprocessed as for the others rather
than by fastai's own transforms. Left out, in its favour: the progress bar and the log.
"""

from __future__ import annotations

import argparse
import time

from common import BATCH_SIZE, WEIGHT_DECAY, WORKERS, arguments, build, print_result, still, tables
from fastai.vision.all import (
    Callback,
    CrossEntropyLossFlat,
    DataLoaders,
    L,
    Learner,
    TrainEvalCallback,
    accuracy,
    params,
    set_seed,
)
from torch import nn


class EvalFrozen(Callback):
    """As fastai's BnFreeze, which sees to BatchNorm only."""

    run_after = TrainEvalCallback

    def __init__(self, frozen: list[nn.Module], args: argparse.Namespace) -> None:
        self.frozen, self.args = frozen, args

    def before_train(self) -> None:
        still(self.frozen, self.args)


class Clock(Callback):
    order = 100  # after the Recorder

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def before_epoch(self) -> None:
        self.started = time.perf_counter()

    def after_epoch(self) -> None:
        self.seconds.append(time.perf_counter() - self.started)
        self.ended = time.time()


def main() -> None:
    args = arguments(__doc__)
    set_seed(args.seed)
    train, val = tables(args)
    net, frozen, training = build(args, len(train.classes))
    clock = Clock()
    learner = Learner(
        DataLoaders.from_dsets(train, val, bs=BATCH_SIZE, num_workers=WORKERS, device="cpu"),
        net,
        loss_func=CrossEntropyLossFlat(),
        metrics=accuracy,
        splitter=lambda _: L(nn.ModuleList(part) for part in (frozen, training) if part).map(params),
        wd=WEIGHT_DECAY,
        train_bn=not args.eval_frozen,
        cbs=[EvalFrozen(frozen, args), clock],
    )
    if frozen:
        learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(args.epochs, args.lr, pct_start=1 / max(2, args.epochs))
    accuracies = [values[-1] for values in learner.recorder.values]
    print_result(clock.seconds, accuracies, clock.ended)


if __name__ == "__main__":
    main()
