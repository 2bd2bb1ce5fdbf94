"""Which images train, which validate, and which are kept for a final test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

from ft.config.schema import SplitConfig
from ft.extension.records import Sample
from ft.text.names import portable

Split = Literal["train", "val", "test"]


def choose_splits(samples: Mapping[str, Sample], config: SplitConfig) -> dict[str, Split]:
    """Return the split of every sample, by its key; keys are to be the same on every machine.

    Where the samples have no val (or test) split, the configured share of every class is set aside: at random, but
    by a hash of (seed, key), so that neither the order nor the other images matter to who goes first. A class gives
    one image at least while one remains to train on; val comes before test.
    """
    given = {sample.split for sample in samples.values()}
    splits: dict[str, Split] = {key: sample.split or "train" for key, sample in samples.items()}
    by_class: dict[str, list[str]] = {}
    for key, split in splits.items():
        if split == "train":
            by_class.setdefault(samples[key].label, []).append(key)
    for keys in by_class.values():
        keys.sort(key=lambda key: _place(config.seed, key))
        val = 0 if "val" in given else _share(len(keys), config.val, spare=len(keys) - 1)
        test = 0 if "test" in given else _share(len(keys), config.test, spare=len(keys) - 1 - val)
        splits.update(dict.fromkeys(keys[:val], "val"))
        splits.update(dict.fromkeys(keys[val : val + test], "test"))
    return splits


def describe_splits(
    samples: Mapping[str, Sample], splits: Mapping[str, Split], config: SplitConfig
) -> dict[Split, str]:
    """Say how `choose_splits` set images aside, by what they are for; nothing about what the samples came with."""
    given, there = {sample.split for sample in samples.values()}, set(splits.values())
    shares: dict[Split, float] = {"val": config.val, "test": config.test}
    return {
        split: f"set aside from train ({100 * share:g} % of every class, seed {config.seed})"
        for split, share in shares.items()
        if split not in given and split in there
    }


def unused_shares(samples: Mapping[str, Sample], config: SplitConfig) -> tuple[str, ...]:
    """Say which share was asked for and is not set aside, because the samples came with that split."""
    given, usual = {sample.split for sample in samples.values()}, SplitConfig()
    asked = {"val": config.val != usual.val, "test": config.test != usual.test}
    return tuple(
        f"--{split}-fraction has no effect: the data has its own {split} images"
        for split, differs in asked.items()
        if differs and split in given
    )


def _place(seed: int, key: str) -> bytes:
    """Where an image stands among those of its class, at random."""
    text = f"{seed} {portable(key)}"
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()  # a name need not be UTF-8


def _share(count: int, share: float, spare: int) -> int:
    """The whole number nearest to `share` of `count`, but one at least if that can be spared."""
    return max(0, min(max(1, int(count * share + 0.5)), spare)) if share else 0
