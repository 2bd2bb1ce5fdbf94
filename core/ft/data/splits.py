"""Which images train, which validate, and which are kept for a final test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from ft.config.split import SplitConfig
from ft.data.whole_groups import Stratum, deal, drawn_place, share_out
from ft.errors import FtError
from ft.extension.records import Sample
from ft.extension.tasks import label_text
from ft.text.counting import number_of

Split = Literal["train", "val", "test"]


def choose_splits(
    samples: Mapping[str, Sample], config: SplitConfig, strata: Mapping[str, Stratum] | None = None
) -> dict[str, Split]:
    """Return the split of every sample, by its key; keys are to be the same on every machine.

    Where the samples have no val (or test) split, the configured share of every stratum is set aside: at random, but
    by a hash of (seed, key), so that neither the order nor the other images matter to who goes first. A stratum gives
    one image at least while one remains to train on; val comes before test. Strata are the labels where none are
    given. With `config.group`, whole groups of samples are set aside. With `config.folds`, test comes first, and val
    is the fold that `config.fold` names, or the first. Raises FtError for too few groups, and for folds of samples that
    have a val split.
    """
    strata = strata if strata is not None else _labels(samples)
    splits: dict[str, Split] = {key: sample.split or "train" for key, sample in samples.items()}
    if config.folds is None:
        splits.update(_set_aside(samples, config, strata, _shares(samples, config)))
        return splits
    in_fold = choose_folds(samples, config, strata)
    for key, split in splits.items():
        if split == "train":
            splits[key] = "test" if key not in in_fold else "val" if in_fold[key] == (config.fold or 1) else "train"
    return splits


def choose_folds(
    samples: Mapping[str, Sample], config: SplitConfig, strata: Mapping[str, Stratum] | None = None
) -> dict[str, int]:
    """Return the fold, from 1, in which each sample validates; those that are kept for a test are in none.

    Raises FtError as `choose_splits` does.
    """
    assert config.folds is not None
    if brought := sum(sample.split == "val" for sample in samples.values()):
        raise FtError(
            f"the data says itself what validates ({number_of(brought, 'image')}), and folds would choose that anew. "
            "Leave out --folds to train once with that split, or give the data without it: a folder that holds the "
            "class folders, or a table whose split column has another name"
        )
    strata = strata if strata is not None else _labels(samples)
    test = _set_aside(samples, config, strata, _shares(samples, config))
    rest = {key: strata[key] for key, sample in samples.items() if sample.split in (None, "train") and key not in test}
    if len(rest) < config.folds:
        raise FtError(f"{number_of(len(rest), 'image')} cannot be in {config.folds} folds; --folds {len(rest)} at most")
    if config.group is None:
        dealt = deal(rest, config.folds, config.seed)
    else:
        grouped = _grouped(rest, samples)
        if len(grouped) < config.folds:
            most = f"; --folds {len(grouped)} at most" if len(grouped) > 1 else ""
            raise FtError(f"{_there_are(len(grouped), config)} too few for {config.folds} folds{most}")
        parts = share_out(grouped, [1 / config.folds] * config.folds, config.seed)
        dealt = {key: parts[_group(samples[key])] for key in rest}
    return {key: number + 1 for key, number in dealt.items()}


def describe_splits(
    samples: Mapping[str, Sample], splits: Mapping[str, Split], config: SplitConfig, kind: str = "class"
) -> dict[Split, str]:
    """Say how `choose_splits` set images aside, a share of every `kind`, by what they are for; nothing about what the
    samples came with."""
    there = set(splits.values())
    how = f"every {kind}" if config.group is None else f"every {kind}, as whole groups by '{config.group}' allow"
    said: dict[Split, str] = {
        split: f"set aside from train ({100 * share:g} % of {how}, seed {config.seed})"
        for split, share in _shares(samples, config).items()
        if split in there
    }
    if config.folds is not None:
        fold = f"fold {config.fold or 1} of {config.folds}, with its share of {how}"
        said["val"] = f"set aside from train ({fold}, seed {config.seed})"
    return said


def _shares(samples: Mapping[str, Sample], config: SplitConfig) -> dict[Split, float]:
    """The shares to set aside, of the splits that the samples do not have."""
    given = {sample.split for sample in samples.values()}
    shares: dict[Split, float] = {"val": config.val, "test": config.test}
    if config.folds is not None:
        del shares["val"]
    return {split: share for split, share in shares.items() if share and split not in given}


def _set_aside(
    samples: Mapping[str, Sample], config: SplitConfig, strata: Mapping[str, Stratum], shares: Mapping[Split, float]
) -> dict[str, Split]:
    """The splits of those samples that are set aside from train."""
    free = {key: strata[key] for key, sample in samples.items() if sample.split in (None, "train")}
    if config.group is None:
        return dict(_by_stratum(free, shares, config.seed))
    if not shares or not free:
        return {}
    groups, parts = _grouped(free, samples), [*shares]
    if len(groups) <= len(parts):
        raise FtError(
            f"{_there_are(len(groups), config)} too few for {len(parts) + 1} parts ({', '.join(['train', *parts])}) of "
            "whole groups. Choose another column, or leave out --split-group"
        )
    chosen = share_out(groups, [1 - sum(shares.values()), *shares.values()], config.seed, keeper=0)
    return {key: parts[chosen[group] - 1] for key in free if chosen[group := _group(samples[key])]}


def _by_stratum(free: Mapping[str, Stratum], shares: Mapping[Split, float], seed: int) -> Iterator[tuple[str, Split]]:
    by_stratum: dict[Stratum, list[str]] = {}
    for key, stratum in free.items():
        by_stratum.setdefault(stratum, []).append(key)
    for keys in by_stratum.values():
        keys.sort(key=lambda key: drawn_place(seed, key))
        taken = 0
        for split, share in shares.items():
            count = _share(len(keys), share, spare=len(keys) - 1 - taken)
            yield from ((key, split) for key in keys[taken : taken + count])
            taken += count


def _share(count: int, share: float, spare: int) -> int:
    """The whole number nearest to `share` of `count`, but one at least if that can be spared."""
    return max(0, min(max(1, int(count * share + 0.5)), spare)) if share else 0


def _grouped(strata: Mapping[str, Stratum], samples: Mapping[str, Sample]) -> dict[str, Counter[Stratum]]:
    groups: dict[str, Counter[Stratum]] = {}
    for key, stratum in strata.items():
        groups.setdefault(_group(samples[key]), Counter())[stratum] += 1
    return groups


def _group(sample: Sample) -> str:
    assert sample.group is not None, "whoever reads samples to be grouped checks that each has one"
    return sample.group


def _labels(samples: Mapping[str, Sample]) -> dict[str, Stratum]:
    return {key: label_text(sample.label) for key, sample in samples.items()}


def _there_are(groups: int, config: SplitConfig) -> str:
    verb = "is" if groups == 1 else "are"
    return f"there {verb} {number_of(groups, 'group')} by '{config.group}', which {verb}"
