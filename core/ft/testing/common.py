"""Checks for components of every kind."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

from ft.errors import FtError
from ft.extension.description import describe
from ft.extension.discovery import check_record
from ft.extension.installed import implementation, settings_class
from ft.extension.packaged import documentation
from ft.testing.trial import NotApplicable, NotSo, Trial, expect
from ft.testing.worker import answer, answer_elsewhere

_IMPORT = """
import sys
from importlib.metadata import EntryPoint
from ft.extension.installed import load_plugins
plugins = load_plugins([(EntryPoint(sys.argv[1], sys.argv[2], "ft.plugins"), "checked", "0")])
for plugin in plugins.broken():
    sys.exit(plugin.error)
{then}
print(*sorted({{"torch", "torchvision"}} & set(sys.modules)))
"""


def loaded_by_importing(trial: Trial, then: str = "") -> str:
    """Import the plugin in a fresh interpreter, do `then` with `plugins`, and return which heavy modules are loaded."""
    if trial.plugin is None:
        raise NotApplicable("it is not packaged")
    search_path = os.pathsep.join(path for path in sys.path if path)
    done = _imported(trial.plugin.name, trial.plugin.module, then, search_path)
    expect(done.returncode == 0, f"importing {trial.plugin.module} failed: {done.stderr.strip()}")
    return (done.stdout.splitlines() or [""])[-1]


@functools.cache  # once for all components of a plugin
def _imported(name: str, module: str, then: str, search_path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _IMPORT.format(then=then), name, module],
        env={**os.environ, "PYTHONPATH": search_path},
        capture_output=True,
        text=True,
    )


def importing_it_loads_no_torch(trial: Trial) -> None:
    """`ft plugins` and `ft --help` stay quick whatever is installed: torch is imported in the implementation."""
    heavy = loaded_by_importing(trial)
    expect(not heavy, f"importing {trial.plugin and trial.plugin.module} loads {heavy}; import it in the functions")


def the_record_is_valid(trial: Trial) -> None:
    """Name and summary are fit to print, the callables exist, and the example is one of this component."""
    record, kind = trial.component.record, trial.component.kind
    try:
        check_record(record, kind)
    except TypeError as error:
        raise NotSo(str(error)) from None
    for name in kind.callables:
        expect(callable(implementation(trial.component, name)), f"{trial.label}: {name} is not callable")
    example = getattr(record, "example", "")
    expect(
        not example or trial.plugin is None or example.partition(":")[0] == record.name,
        f"{trial.label}: the example '{example}' does not begin with its name",
    )


def settings_are_closed_and_described(trial: Trial) -> None:
    """A misspelt setting is an error, not silence, and `ft describe` has something to say about each."""
    from pydantic import BaseModel

    cls = settings_class(trial.component)
    expect(isinstance(cls, type) and issubclass(cls, BaseModel), f"{trial.label}: settings {cls!r} is no ft.Settings")
    expect(
        cls.model_config.get("extra") == "forbid",
        f"{cls.__name__} accepts unknown settings; derive it from ft.Settings",
    )
    bare = [name for name, field in cls.model_fields.items() if not field.description]
    expect(not bare, f"{cls.__name__} does not describe {', '.join(bare)}; write Field(..., description=...)")


def settings_survive_json(trial: Trial) -> None:
    """What a run writes down is what it reads back."""
    cls = settings_class(trial.component)
    for settings in trial.read_settings():
        again = cls.model_validate(json.loads(json.dumps(settings.model_dump(mode="json"))))
        expect(again == settings, f"{settings!r} came back from JSON as {again!r}")


def it_is_documented(trial: Trial) -> None:
    """The function that does the work has a docstring, or the file begins with a comment: `ft describe` shows it."""
    component, callables = trial.component, trial.component.kind.callables
    lacks = (
        f"{callables[-1]} has no docstring; say what it takes, returns and raises"
        if callables
        else f"{component.record.file} begins with no comment; say where it comes from, what it costs, when to use it"
    )
    expect(documentation(component), f"{trial.label}: {lacks}")


def describe_shows_it(trial: Trial) -> None:
    """`ft describe` can show it, with the summary and every setting."""
    about = describe(trial.component)
    missing = set(settings_class(trial.component).model_fields) - {row.key for row in about.settings}
    expect(about.summary and not missing, f"ft describe shows nothing of {', '.join(missing) or 'what it does'}")


def a_spawned_worker_gets_the_same(trial: Trial) -> None:
    """It can be found and used in a process that inherited nothing, and answers there as it does here."""
    for argument in trial.arguments:
        for values in trial.settings:
            try:
                here = answer(trial.component, argument, values)
            except FtError as error:
                raise trial.unfit(argument, error) from None
            search = [os.path.abspath(path) for path in sys.path]
            there = trial.worker.submit(
                answer_elsewhere, search, dict(os.environ), trial.component.kind.name, trial.reference, argument, values
            ).result()
            expect(
                here == there, f"{trial.label} answers otherwise in a spawned worker: {here!r:.200} / {there!r:.200}"
            )


COMMON = (
    importing_it_loads_no_torch,
    the_record_is_valid,
    settings_are_closed_and_described,
    settings_survive_json,
    it_is_documented,
    describe_shows_it,
    a_spawned_worker_gets_the_same,
)
