"""What the environment and `--no-plugin` say about plugins: which are left out, and how loudly they load."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ft.errors import FtError, did_you_mean
from ft.text.terminal import complain

OWN = "ftkit"
"""The distribution whose plugins FT_NO_THIRD_PARTY leaves in."""


@dataclass(frozen=True)
class Switches:
    """`disabled` maps the name of a distribution or entry point to what switched it off."""

    disabled: Mapping[str, str]
    third_party: bool = True
    raise_errors: bool = False

    def reason(self, distribution: str, entry_point: str) -> str:
        """Why a plugin is left out, as in "FT_NO_THIRD_PARTY=1"; "" when it is not."""
        for name, by in self.disabled.items():
            if name == entry_point or normal(name) == normal(distribution):
                return by
        return "" if self.third_party or normal(distribution) == OWN else "FT_NO_THIRD_PARTY=1"

    def check(self, installed: Collection[tuple[str, str]]) -> None:
        """Raise FtError for a name that is of none of the `installed` (distribution, entry point)."""
        for name, by in self.disabled.items():
            if not any(name == point or normal(name) == normal(distribution) for distribution, point in installed):
                known = sorted({each for pair in installed for each in pair})
                raise FtError(f"{by}: no plugin '{name}' is installed.{did_you_mean(name, known)} See ft plugins")


def read_switches(environ: Mapping[str, str], no_plugin: Iterable[str] = ()) -> Switches:
    """Read FT_DISABLE_PLUGINS (names, comma between them), FT_NO_THIRD_PARTY and FT_RAISE_PLUGIN_ERRORS."""
    named = [name.strip() for name in environ.get("FT_DISABLE_PLUGINS", "").split(",") if name.strip()]
    return Switches(
        {**{name: f"FT_DISABLE_PLUGINS={name}" for name in named}, **{n: f"--no-plugin {n}" for n in no_plugin}},
        third_party=not _on(environ, "FT_NO_THIRD_PARTY"),
        raise_errors=_on(environ, "FT_RAISE_PLUGIN_ERRORS"),
    )


def normal(distribution: str) -> str:
    """The name as the package index compares it: My_Plugin and my.plugin are my-plugin."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def tracing() -> bool:
    return _on(os.environ, "FT_TRACE_PLUGINS")


@contextlib.contextmanager
def traced(what: str) -> Iterator[None]:
    """With FT_TRACE_PLUGINS=1, say on stderr what was done and how long it took, also when it failed."""
    began = time.perf_counter()
    try:
        yield
    finally:
        if tracing():
            complain(f"[ft] {(time.perf_counter() - began) * 1000:8.1f} ms  {what}")


def _on(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").lower() in ("1", "true", "yes", "on")
