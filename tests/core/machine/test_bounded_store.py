"""A store of torch.distributed that may not answer."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from torch.distributed import HashStore

from ft.machine.bounded_store import BoundedStore


def test_it_is_the_store() -> None:
    store = BoundedStore(HashStore(), 20)
    store.set("name", "value")
    assert store.get("name") == b"value"
    assert (store.check(["name"]), store.check(["other"])) == (True, False)


def test_an_error_of_the_store_is_raised_and_it_is_asked_again() -> None:
    store = BoundedStore(HashStore(), 20)
    with pytest.raises(TypeError):
        store.get(cast(str, 1))
    assert not store.check(["name"])


def test_one_that_does_not_answer_is_given_up() -> None:
    cut, asked = threading.Event(), list[Any]()

    class Cut:
        def check(self, names: list[str]) -> bool:
            asked.append(names)
            return cut.wait(20)

    store = BoundedStore(cast(Any, Cut()), 0.05)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="process group: timed out waiting"):
            store.check(["name"])
    assert asked == [["name"]]
    cut.set()
