"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

from rooms import CORE

WITH_EXAMPLES = [path for path in sorted(CORE.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(CORE)))
def test_examples_in_docstrings_are_right(path: Path) -> None:
    name = ".".join(("ft", *path.relative_to(CORE).with_suffix("").parts))
    failed, tried = doctest.testmod(import_module(name))
    assert tried
    assert not failed
