"""Which split a name stands for: of a folder, as `seg_train` and `Testing`, or in a table."""

from __future__ import annotations

import re
from typing import Literal

Split = Literal["train", "val", "test"]

_FILLER = "(?:my|seg|img|images?|imgs|pics?|pictures?|photos?|data|sets?|splits?|samples?|folder|ilsvrc[0-9]{4})*"
_NAME = re.compile(
    f"{_FILLER}(?:(?P<train>train|training|trn)|(?P<val>val|valid|validate|validation|dev|development|eval|evaluation)"
    f"|(?P<test>test|testing|tst|holdout|heldout)){_FILLER}(?:1|[0-9]{{4}})?"
)
"""A word for a split, among words that say nothing; then a year, or the 1 of Kaggle's `test1`."""


def split_of(name: str) -> Split | None:
    """Return the split that a name stands for, in any case and however its words are joined; None for another name.

    >>> split_of("seg_train"), split_of("Test Images"), split_of("hold-out"), split_of("trains")
    ('train', 'test', 'test', None)
    """
    found = _NAME.fullmatch(_joined(name))
    splits: tuple[Split, ...] = ("train", "val", "test")
    return next((split for split in splits if found[split]), None) if found else None


def says_nothing(name: str) -> bool:
    """Whether a name is made of words that tell neither a class nor a split, as `images` or `data_set`.

    >>> says_nothing("images"), says_nothing("train_images"), says_nothing("cats")
    (True, False, False)
    """
    return re.fullmatch(_FILLER, _joined(name)) is not None


def _joined(name: str) -> str:
    return re.sub(r"[\s_.-]+", "", name.casefold())
