"""What is to be said of a split: shares that had no effect, groups that the data tears, folds that are too small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ft.config.split import SplitConfig
from ft.data.splits import Split, choose_folds
from ft.data.whole_groups import Stratum
from ft.errors import FtError
from ft.extension.records import Sample
from ft.task.chosen import ChosenTask
from ft.text.counting import number_of

_NAMED = 5


def unused_shares(samples: Mapping[str, Sample], config: SplitConfig) -> tuple[str, ...]:
    """Say which share was asked for and is not set aside, because the samples came with that split."""
    given, usual = {sample.split for sample in samples.values()}, SplitConfig()
    asked = {"val": config.val != usual.val, "test": config.test != usual.test}
    return tuple(
        f"--{split}-fraction has no effect: the data has its own {split} images"
        for split, differs in asked.items()
        if differs and split in given
    )


def torn_groups(samples: Mapping[str, Sample], splits: Mapping[str, Split], config: SplitConfig) -> tuple[str, ...]:
    """Warn of groups that stand in several splits; only a split that samples came with tears any."""
    if config.group is None:
        return ()
    places: dict[str, dict[Split, None]] = {}
    for key, sample in samples.items():
        if sample.group is not None:
            places.setdefault(sample.group, {})[splits[key]] = None
    torn = [f"{group} is in {' and '.join(found)}" for group, found in sorted(places.items()) if len(found) > 1]
    if not torn:
        return ()
    return (
        f"the split that the data brings tears {number_of(len(torn), 'group')} by '{config.group}' apart, so figures "
        f"come out too good: {_some(torn)}",
    )


def check_folds(
    samples: Mapping[str, Sample], config: SplitConfig, strata: Mapping[str, Stratum], task: ChosenTask
) -> tuple[str, ...]:
    """Warn of strata, as of classes, that not every fold can validate. Raises FtError where what validates in some fold
    cannot be learnt from the others."""
    if config.folds is None:
        return ()
    folds = choose_folds(samples, config, strata)
    for fold in range(1, config.folds + 1):
        learnt = [samples[key].label for key, other in folds.items() if other != fold]
        try:
            task.encode([samples[key].label for key, other in folds.items() if other == fold], task.space(learnt))
        except FtError as error:
            raise FtError(
                f"in fold {fold} of {config.folds}, what validates cannot be learnt from the others: {error}\n"
                "Give it more images, leave it out, or try fewer folds or another split.seed"
            ) from None
    units = dict[Stratum, set[str]]()
    for key in folds:
        units.setdefault(strata[key], set()).add((samples[key].group if config.group else key) or key)
    few = [f"{stratum} ({len(those)})" for stratum, those in units.items() if len(those) < config.folds]
    if not few:
        return ()
    one, kind = "group" if config.group else "image", task.stratum
    return (
        f"not all {config.folds} folds validate every {kind}, where there are fewer {one}s than folds: "
        f"{_some(sorted(few))}",
    )


def _some(texts: Sequence[str]) -> str:
    more = [f"... and {len(texts) - _NAMED} more"] if len(texts) > _NAMED else []
    return ", ".join([*texts[:_NAMED], *more])
