"""What processes know of each other, asked for no longer than so many seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store


class BoundedStore:
    """A store that answers within so many `seconds`, or is given up with RuntimeError: over a cable that was cut
    torch's own waits without an end."""

    def __init__(self, store: Store, seconds: float) -> None:
        self._store, self._seconds, self._silent = store, seconds, False

    def check(self, names: list[str]) -> bool:
        return bool(self._asked(lambda: self._store.check(names)))

    def get(self, name: str) -> bytes:
        value: bytes = self._asked(lambda: self._store.get(name))
        return value

    def set(self, name: str, value: str) -> None:
        self._asked(lambda: self._store.set(name, value))

    def _asked(self, ask: Callable[[], Any]) -> Any:
        answers = SimpleQueue[tuple[Any, Exception | None]]()

        def wait() -> None:
            try:
                answers.put((ask(), None))
            except Exception as error:
                answers.put((None, error))

        if not self._silent:
            threading.Thread(target=wait, name="ft-asks", daemon=True).start()
        try:
            value, error = answers.get(timeout=0 if self._silent else self._seconds)
        except Empty:
            self._silent = True
            raise RuntimeError("process group: timed out waiting for what the first process keeps") from None
        if error is not None:
            raise error
        return value
