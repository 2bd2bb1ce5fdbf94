"""The pytest plugin that comes with ft: an isolated registry, an installed plugin without pip, the command line."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from click.testing import Result

    from ft.extension.installed import Plugins


@pytest.fixture
def ft_registry() -> Callable[..., Plugins]:
    """`ft_registry(*records)`: plugins that hold what comes with ft and these records, whatever else is installed.

    The records' distribution is called `distribution`, "under-test" by default; `built_in=False` leaves out ft's own.
    """
    from ft.extension.discovery import check_record
    from ft.extension.installed import Component, Plugin, Plugins, load_plugins
    from ft.extension.kinds import KINDS

    def component(record: Any, distribution: str) -> Component:
        kind = next(kind for kind in KINDS.values() if isinstance(record, kind.record))
        check_record(record, kind)
        return Component(kind, record, distribution, "1.0")

    def make(*records: Any, distribution: str = "under-test", built_in: bool = True) -> Plugins:
        own = load_plugins(environ={"FT_NO_THIRD_PARTY": "1"}).all if built_in else ()
        components = tuple(component(record, distribution) for record in records)
        under_test = Plugin(distribution, "", distribution, "1.0", "ok", components=components)
        return Plugins((*(plugin for plugin in own if plugin.state != "disabled"), under_test))

    return make


@pytest.fixture
def ft_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """`ft_install("my-plugin", {"my_plugin.py": source})`: a distribution on the search path, without pip.

    Its entry point is the first file's module, or `entry_points`, a mapping of names to modules. Subprocesses find it
    too. `requires` are lines of Requires-Dist, `group` another entry-point group. Returns the folder. It is gone, and
    its modules are forgotten, after the test.
    """
    made: set[str] = set()

    def install(
        name: str,
        files: Mapping[str, str],
        entry_points: Mapping[str, str] | None = None,
        version: str = "1.0",
        requires: Sequence[str] = (),
        group: str = "ft.plugins",
    ) -> Path:
        site = tmp_path / "ft-site" / f"{name}-{version}"
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        modules = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files]
        points = {name: modules[0]} if entry_points is None else entry_points
        lines = "".join(f"{point} = {module}\n" for point, module in points.items())
        about = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        about += [f"Requires-Dist: {each}" for each in requires]
        (info / "METADATA").write_text("\n".join(about) + "\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        for path, text in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(textwrap.dedent(text))
        made.update(module.partition(".")[0] for module in modules)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.setenv("PYTHONPATH", str(site), prepend=":" if sys.platform != "win32" else ";")
        return site

    yield install
    for module in list(sys.modules):
        if module.partition(".")[0] in made:
            del sys.modules[module]


@pytest.fixture
def ft_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`ft_cli("plan", "--freeze", ...)`: run the command line in an empty folder and return click's Result.

    A mistake that it reports is raised as ft.FtError, unless `fails=True`, which then demands one.
    """
    from click.testing import CliRunner

    from ft.cli import cli
    from ft.errors import FtError

    folder = tmp_path / "ft-cli"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FT_CACHE", str(folder / "cache"))

    def run(*args: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(cli, list(args))
        if fails:
            assert isinstance(result.exception, FtError | SystemExit), result.exception or result.output
        elif result.exception is not None:
            raise result.exception
        return result

    return run


@pytest.fixture(scope="session")
def ft_worker() -> Iterator[Executor]:
    """A process that was spawned, for the whole session: what runs there has inherited nothing."""
    from ft.testing.worker import spawned_worker

    with spawned_worker() as worker:
        yield worker
