"""Cross-validation: a run for each fold, one after the other, and what they came to together.

Each fold is a run as any other, on the straight path. What is computed once is found by the folds that come later: an
image is known by its content, whichever part it is in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ft.config.schema import Config
from ft.data.load import strata_of
from ft.data.samples import read_samples
from ft.data.splits import Split, choose_folds, choose_splits
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folds import Folds, start_folds
from ft.run.folds_text import said
from ft.run.records import FoldsFile
from ft.run.report import doubts
from ft.task.chosen import choose_task
from ft.text.names import typed
from ft.tracking.listener import Listener


@dataclass(frozen=True)
class PlannedFold:
    """How many images of a fold, from 1, train, validate and are kept for a test, and of how many groups."""

    fold: int
    images: Mapping[Split, int]
    groups: Mapping[Split, int]


def asks_for_all_folds(config: Config) -> bool:
    """Whether a config is one of several runs."""
    return config.split.folds is not None and config.split.fold is None


def one_fold(config: Config, fold: int) -> Config:
    """The config of one of its folds, from 1."""
    return config.model_copy(update={"split": config.split.model_copy(update={"fold": fold})})


def plan_folds(config: Config, plugins: Plugins) -> tuple[PlannedFold, ...]:
    """What each fold will have, as the data lists it. Raises FtError as the splits do."""
    samples = read_samples(config.data, plugins, config.split.group).samples
    strata = strata_of(samples, choose_task(config.task, plugins, config.training))
    in_fold, first = choose_folds(samples, config.split, strata), choose_splits(samples, config.split, strata)
    planned = []
    for fold in range(1, max(in_fold.values()) + 1):
        images, groups = Counter[Split](), dict[Split, set[str | None]]()
        for key, sample in samples.items():
            validates = in_fold.get(key)
            split: Split = first[key] if validates is None else "val" if validates == fold else "train"
            images[split] += 1
            groups.setdefault(split, set()).add(sample.group)
        counted = {split: len(found) for split, found in groups.items()} if config.split.group else {}
        planned.append(PlannedFold(fold, dict(images), counted))
    return tuple(planned)


def cross_validate(
    config: Config, plugins: Plugins, display: Display, again: Folds | None = None, listeners: Sequence[Listener] = ()
) -> tuple[Folds, FoldsFile]:
    """Run every fold of `config` that is not finished, in a new folder or `again` in its own, and sum them up.

    A fold that was interrupted goes on where it stopped. Raises what `finetune` raises: FtError, with how the other
    folds go on, and StopAsked, whose folder is that of all folds once one of them has begun.
    """
    count = config.split.folds
    assert count is not None
    folds = again or start_folds(config)
    try:
        for fold in range(1, count + 1):
            _run_fold(fold, folds, config, plugins, display, listeners)
    except BaseException as error:
        if not folds.begun():
            if again is None:
                folds.remove()
            raise
        if isinstance(error, StopAsked):
            raise StopAsked(error.signal_number, folds.path) from None
        if isinstance(error, FtError):
            go_on = typed("ft", "run", "--resume", folds.path)
            raise FtError(f"{error}\nFinished folds are kept; the others go on with: {go_on}") from None
        raise
    return folds, folds.sum_up()


def _run_fold(
    fold: int, folds: Folds, config: Config, plugins: Plugins, display: Display, listeners: Sequence[Listener]
) -> None:
    run, count = folds.run(fold), config.split.folds
    if (run.path / "report.json").is_file():
        display.say(f"fold {fold} of {count} is finished, in {run.path}")
        return
    display.say(f"fold {fold} of {count}, in {run.path}")
    begun = (run.path / "config.yaml").is_file()
    own = run.config(trust_code=True) if begun else one_fold(config, fold)  # the same code as that of all folds
    own = own.model_copy(update={"run_dir": run.path})
    done, report = finetune(own, plugins, display, run if run.path.exists() else None, listeners)
    for doubt in doubts(report, done.path):
        display.warn(doubt)
    here = next(each for each in folds.sum_up().finished if each.fold == fold)
    display.tell(f"fold {fold} of {count}: {said(here.val)}")
