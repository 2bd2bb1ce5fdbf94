"""A kind is a record, a line in KINDS, a hook and its checks: everything else follows from these."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.resources import files
from typing import Any

import pytest

import ft
from ft.config.flags import FLAGS
from ft.config.schema import Config
from ft.extension import hookspecs
from ft.extension.kinds import KINDS
from ft.testing import conformance
from ft.testing.common import COMMON

pytestmark = pytest.mark.slow  # a process with a kind of its own

RECORD = '''
from dataclasses import dataclass
from typing import Any

@dataclass(frozen=True)
class Echo:
    name: str
    summary: str
    repeat: Any
    settings: Any = None

def it_says_so(trial):
    """It says so."""
    assert trial.call("repeat") == "so"

CHECKS = (it_says_so,)

def answer(component, argument, settings):
    return "so"
'''
PLUGIN = '''
import ft, echoes
from pydantic import Field

class Settings(ft.Settings):
    times: int = Field(1, description="how often")

def repeat():
    """Say it again."""
    return "so"

@ft.hookimpl
def ft_echoes():
    yield echoes.Echo("loud", "Says it again", repeat=repeat, settings=Settings)
'''
PROGRAM = """
import json, sys
import echoes
from ft.extension import hookspecs, kinds

# The line in KINDS, the hook, the checks:
key = kinds.Key("echoes", "--echo", "who says it; repeat for more", several=True, words={"silence": "nobody"})
kinds.KINDS["echo"] = kinds.Kind("echo", "ft_echoes", echoes.Echo, "echo", ("repeat",), (key,))
hookspecs.ft_echoes = hookspecs.hookspec(lambda: None)
sys.modules["ft.testing.echo"] = echoes

from click.shell_completion import ShellComplete
from click.testing import CliRunner
from ft.cli import cli
from ft.config.loading import load_config
from ft.errors import FtError
from ft.extension.installed import load_plugins
from ft.extension.unpackaged import refuse_unpackaged
from ft.plan.components import check_settings, components_of
from ft.run.locked import describe_component
from ft.testing.checks import CHECKS

def said(*line):
    done = CliRunner().invoke(cli, line)
    return done.output or str(done.exception)

def refusal(action, *args):
    try:
        action(*args)
    except FtError as error:
        return str(error)

def offered(*line):
    return [item.value for item in ShellComplete(cli, {}, "ft", "").get_completions(list(line[:-1]), line[-1])]

def config(*echoes, sets=()):
    return load_config(None, sets, {"backbone": "torchvision:resnet18", "data": "demo", "echoes": list(echoes)})

plugins, twice = load_plugins(), config("loud", sets=["echoes.times=2"])
print(json.dumps({
    "list": said("plugins"),
    "why": said("plugins", "why", "loud"),
    "describe": said("describe", "echo:loud"),
    "help": said("run", "--help"),
    "flag": offered("run", "--echo", ""),
    "set": offered("run", "--echo", "loud", "--set", "echoes."),
    "key": twice.model_dump(mode="json")["echoes"],
    "misspelt": refusal(check_settings, config("loud", sets=["echoes.tims=2"]), plugins),
    "absent": refusal(check_settings, config("lout"), plugins),
    "word": refusal(check_settings, config("silence"), plugins),
    "code": refusal(refuse_unpackaged, config("./echo.py:Mine").references(), "config.yaml"),
    "used": [describe_component(component) for _, component in components_of(twice, plugins)],
    "checks": [check.__name__ for check in CHECKS["echo"]],
}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ft says, in a process of its own, when there is one kind more and a plugin of it."""
    folder = tmp_path_factory.mktemp("echo")
    info = folder / "the_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: the-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ft.plugins]\nloud = the_echo\n")
    (folder / "echoes.py").write_text(RECORD)
    (folder / "the_echo.py").write_text(PLUGIN)
    (folder / "program.py").write_text(PROGRAM)
    done = subprocess.run([sys.executable, "program.py"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_new_kind_is_listed_and_described_with_how_it_is_used(told: dict[str, Any]) -> None:
    assert "echo" in told["list"]
    assert "Says it again" in told["list"]
    assert "echo loud: provided by the-plugin 1.0" in told["why"]
    assert "ft run --backbone torchvision:resnet18 --echo loud" in told["describe"]
    assert "Give one with --set echoes.times=...; where there are several" in told["describe"]


def test_a_new_kind_has_a_key_a_flag_and_completion(told: dict[str, Any]) -> None:
    assert "--echo" in told["help"]
    assert "who says it; repeat for more" in told["help"]
    assert told["flag"] == ["silence", "loud"]
    assert told["set"] == ["echoes.times="]
    assert told["key"] == [{"use": "loud", "times": 2}]


def test_a_new_kinds_components_are_looked_for_and_their_settings_checked(told: dict[str, Any]) -> None:
    assert told["misspelt"].startswith("unknown setting 'echoes.tims'. Did you mean 'times'?")
    assert told["absent"].startswith("no echo named 'lout'. Did you mean 'loud'?")
    assert told["word"] is None
    assert "config.yaml names the code './echo.py:Mine'" in told["code"]


def test_a_new_kinds_components_are_recorded_for_locked_runs(told: dict[str, Any]) -> None:
    used = {each["name"]: each for each in told["used"]}
    assert list(used) == ["torchvision", "linear", "demo", "classification", "adamw", "loud"]
    assert (used["loud"]["kind"], used["loud"]["distribution"]) == ("echo", "the-plugin")
    assert len(used["loud"]["sha256"]) == 64


def test_a_new_kind_is_checked_by_the_kit(told: dict[str, Any]) -> None:
    assert told["checks"] == [*(check.__name__ for check in COMMON), "it_says_so"]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_is_whole(kind: Any) -> None:
    assert hasattr(hookspecs, kind.hook)
    assert getattr(ft, kind.record.__name__) is kind.record
    assert any(getattr(each, "kind", "") == kind.name for each in vars(conformance).values())
    checks = import_module(f"ft.testing.{kind.name}")
    assert checks.CHECKS
    assert callable(checks.answer)
    templates = {each.name for each in (files("ft.scaffold") / "templates" / kind.name).iterdir()}
    assert {"record.py.tmpl", "tests.py.tmpl", "use.txt.tmpl"} <= templates
    assert templates & {"implementation.py.tmpl", "implementation.yaml.tmpl"}


def test_every_key_that_a_kind_names_is_one_of_the_config() -> None:
    schema = Config.model_json_schema()
    for key in (key for kind in KINDS.values() for key in kind.keys):
        assert not key.flag or (key.flag, key.path, key.about, key.several) in FLAGS
        assert key.path.partition(".")[0] in schema["properties"]
