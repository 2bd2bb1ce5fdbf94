"""What is to be said of a split: shares that had no effect, groups that the data tears, classes too small for folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ft.config.schema import SplitConfig
from ft.data.splits import Split, choose_folds
from ft.errors import FtError
from ft.extension.records import Sample
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


def check_folds(samples: Mapping[str, Sample], config: SplitConfig) -> tuple[str, ...]:
    """Warn of classes that not every fold can validate. Raises FtError for one that in some fold none is left of to
    train on."""
    if config.folds is None:
        return ()
    folds, units = choose_folds(samples, config), dict[str, dict[str, int]]()
    for key, fold in folds.items():
        unit = samples[key].group if config.group else key
        units.setdefault(samples[key].label, {})[unit or key] = fold
    one = "group" if config.group else "image"
    for label, fold_of in sorted(units.items()):
        if len(set(fold_of.values())) == 1:
            fold = next(iter(fold_of.values()))
            raise FtError(
                f"class '{label}' is in {number_of(len(fold_of), one)}, which leaves none to train on in fold {fold}, "
                "where all of it validates. Give it more, leave it out, or try fewer folds or another split.seed"
            )
    few = [f"{label} ({len(fold_of)})" for label, fold_of in sorted(units.items()) if len(fold_of) < config.folds]
    if not few:
        return ()
    return (
        f"not all {config.folds} folds validate every class, where there are fewer {one}s than folds: {_some(few)}",
    )


def _some(texts: Sequence[str]) -> str:
    more = [f"... and {len(texts) - _NAMED} more"] if len(texts) > _NAMED else []
    return ", ".join([*texts[:_NAMED], *more])
