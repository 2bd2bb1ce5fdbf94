"""Choosing among plugins, leaving them out, seeing what they do, and holding a run to those it used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from conftest import TINY
from ft import FtError
from ft.cli.common import load_and_report

Ft = Callable[..., Result]
Install = Callable[..., Path]
QUICK = (
    *("--backbone", f"{TINY}:small", "--weights", "none", "--image-size", "16", "--epochs", "1", "--workers", "0"),
    *("--precision", "fp32", "--device", "cpu", "--set", "data={use: demo, images_per_class: 6, size: 32}"),
)
PLUGIN = """
from ft import FreezeStrategy, hookimpl

def select(backbone, argument, settings):
    return set(backbone.parameter_names()[SLICE])

@hookimpl
def ft_freeze_strategies():
    yield FreezeStrategy("ends", "One end", select="MODULE:select")
"""


def source(module: str, chosen: str) -> dict[str, str]:
    return {f"{module}.py": PLUGIN.replace("MODULE", module).replace("SLICE", chosen)}


@pytest.fixture
def two(ft_install: Install) -> None:
    """Two distributions that both provide the strategy `ends`."""
    ft_install("ends-a", source("ends_a", ":1"))
    ft_install("ends-b", source("ends_b", "-2:"), version="2.0")


def frozen(ft: Ft, *args: str) -> list[str]:
    plan = json.loads(ft("plan", *QUICK, "--freeze", "ends", "--json", *args).output)["plan"]
    return sorted(plan["frozen"])


# Which of two


@pytest.mark.slow
def test_a_name_of_two_is_settled_by_prefer_in_the_config(ft: Ft, two: None, tmp_path: Path) -> None:
    with pytest.raises(FtError, match=r"(?s)more than one.*prefer: \{freeze:ends: ends-a\}"):
        ft("plan", *QUICK, "--freeze", "ends")
    (tmp_path / "ft.yaml").write_text("prefer: {freeze:ends: ends_a}")
    assert frozen(ft, "--config", "ft.yaml") == ["scale"]
    assert frozen(ft, "--set", "prefer.freeze:ends=ends-b") == ["layer2.0.bias", "layer2.0.weight"]


@pytest.mark.parametrize(
    ("prefer", "message"),
    [
        ("freeze:ends=ends-c", "setting 'prefer.freeze:ends': ends-c provides no .* provided by: ends-a, ends-b"),
        ("freeze:none-such=ends-a", "provided by: nothing that is installed"),
        ("ends=ends-a", "setting 'prefer.ends': write KIND:NAME"),
    ],
)
def test_a_preference_that_cannot_be_met_is_an_error(ft: Ft, two: None, prefer: str, message: str) -> None:
    with pytest.raises(FtError, match=message):
        frozen(ft, "--set", f"prefer.{prefer}")


def test_why_says_who_provides_a_name_and_how_to_choose(ft: Ft, two: None) -> None:
    text = ft("plugins", "why", "ends").output
    assert "freezing strategy ends: provided by ends-a 1.0\nfreezing strategy ends: provided by ends-b 2.0\n" in text
    assert "    ends-b/ends\n" in text
    assert "prefer: {freeze:ends: ends-a}" in text
    assert ft("plugins", "why", "freeze:ends-b/ends").output == "freezing strategy ends: provided by ends-b 2.0\n"


def test_why_finds_models_and_plugins(ft: Ft, ft_install: Install) -> None:
    text = ft("plugins", "why", "vgg16").output
    assert "model vgg16: use it as torchvision:vgg16\nbackbone provider torchvision: provided by ftkit" in text
    ft_install("ends-a", source("ends_a", ":1"), version="0.9")
    ft_install("ends-a", source("ends_a", ":1"), version="1.0")  # found first
    text = ft("plugins", "why", "ends-a").output
    found = r"plugin ends-a: module ends_a of ends-a 1\.0, imported in \d+ ms\n  provides freeze:ends\n"
    assert re.search(found, text)
    assert re.search(r"hides ends-a 0\.9 in .*ends-a-0\.9, which is later on Python's search path", text)
    with pytest.raises(FtError, match=r"nothing that is installed is named 'vg16'\. Did you mean 'vgg16'"):
        ft("plugins", "why", "vg16")


# Leaving out


@pytest.mark.parametrize(
    "args",
    [
        ("--no-plugin", "ends-a", "plan", *QUICK, "--freeze", "ends", "--json"),
        ("plan", *QUICK, "--freeze", "ends", "--json", "--no-plugin", "Ends_A"),
    ],
    ids=["before", "after"],
)
def test_a_plugin_is_left_out_wherever_the_option_stands(ft: Ft, two: None, args: tuple[str, ...]) -> None:
    assert sorted(json.loads(ft(*args).output)["plan"]["frozen"]) == ["layer2.0.bias", "layer2.0.weight"]


def test_a_plugin_is_left_out_by_a_variable_and_never_imported(
    ft: Ft, ft_install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    ft_install("loud", {"loud_plugin.py": "raise SystemExit('imported')"}, entry_points={"noise": "loud_plugin"})
    monkeypatch.setenv("FT_DISABLE_PLUGINS", "noise, heads")
    result = ft("plugins", "--json")
    states = {row["name"]: (row["state"], row["summary"]) for row in json.loads(result.output)}
    assert states["noise"] == ("disabled", "FT_DISABLE_PLUGINS=noise")
    assert states["heads"] == ("disabled", "FT_DISABLE_PLUGINS=heads")
    assert "imported" not in result.stderr
    with pytest.raises(FtError, match=r"ftkit .* is left out and may provide it: FT_DISABLE_PLUGINS=heads"):
        ft("plan", *QUICK)


def test_leaving_out_what_is_not_installed_is_an_error(ft: Ft, two: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FtError, match=r"--no-plugin ends-aa: no plugin 'ends-aa' is installed\. Did you mean 'ends-a'"):
        ft("--no-plugin", "ends-aa", "plugins")
    monkeypatch.setenv("FT_DISABLE_PLUGINS", "nothing")
    with pytest.raises(FtError, match="FT_DISABLE_PLUGINS=nothing: no plugin 'nothing' is installed"):
        ft("plugins")


def test_without_third_parties_only_what_comes_with_ft_is_used(
    ft: Ft, two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_NO_THIRD_PARTY", "1")
    rows = json.loads(ft("plugins", "--json").output)
    assert {row["distribution"] for row in rows if row["state"] == "ok"} == {"ftkit"}
    assert {row["summary"] for row in rows if row["distribution"] == "ends-a"} == {"FT_NO_THIRD_PARTY=1"}


# Several at once


def test_a_healthy_plugin_works_among_broken_ones_and_each_says_what_to_do(
    ft: Ft, ft_install: Install, tmp_path: Path
) -> None:
    ft_install("healthy", source("healthy", ":1"))
    ft_install("same-name", source("same_name", "-1:"))
    ft_install("slow", {"slow_plugin.py": f"import time\ntime.sleep(0.2)\n{PLUGIN.replace('ends', 'late')}"})
    ft_install("missing", {"missing_plugin.py": "import nothing_like_it"})
    ft_install("future", {"future_plugin.py": "FT_API = 9\n" + PLUGIN})
    ft_install("needs-newer", {"needs_newer.py": "from ft import NotYetThere"})
    ft_install("greedy", {"greedy.py": PLUGIN.replace("ft_freeze_strategies()", "ft_freeze_strategies(config=None)")})
    result = ft("run", *QUICK, "--freeze", "healthy/ends", "--run-dir", "r")
    assert json.loads((tmp_path / "r" / "plan.json").read_text())["frozen"] == ["scale"]
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: plugin")]
    assert [line.split()[2] for line in warnings] == ["future", "greedy", "missing", "needs-newer"]
    assert "made for version 9 of ft's plugin API" in warnings[0]
    assert "upgrade ft: pip install --upgrade ftkit" in warnings[0]
    assert "ft_freeze_strategies takes no arguments; remove 'config' from its definition" in warnings[1]
    assert "No module named 'nothing_like_it'" in warnings[2]
    assert "cannot import name 'NotYetThere' from 'ft'" in warnings[3]
    assert "it may need a newer ft than" in warnings[3]


@pytest.mark.parametrize(
    ("api", "state"), [("2", "ok"), ("1", "ok"), ("0", "broken"), ("3", "broken"), ("'1'", "broken")]
)
def test_this_version_of_the_contract_and_the_one_before_are_taken(
    ft: Ft, ft_install: Install, api: str, state: str
) -> None:
    ft_install("dated", {"dated.py": f"FT_API = {api}\n{PLUGIN}"})
    (row,) = (row for row in json.loads(ft("plugins", "--json").stdout) if row["distribution"] == "dated")
    assert row["state"] == state
    if api == "0":
        assert row["summary"].endswith("upgrade it: pip install --upgrade dated")


@pytest.mark.parametrize(
    ("group", "requires"),
    [
        ("ft.plugin", ()),
        ("ft_plugins", ()),
        ("ftkit.plugins", ()),
        ("Ft-Plugins", ()),
        ("ft.plugns", ("ftkit>=0.1",)),
        ("ft.freeze", ("ftkit",)),
    ],
)
def test_a_misspelt_entry_point_group_is_seen(
    ft: Ft, ft_install: Install, group: str, requires: tuple[str, ...]
) -> None:
    ft_install("ends-a", source("ends_a", ":1"), group=group, requires=requires)
    result = ft("plugins", "--json")
    (row,) = (row for row in json.loads(result.stdout) if row["distribution"] == "ends-a")
    assert row["state"] == "broken"
    assert row["summary"] == (
        f"its entry-point group is '{group}', and ft reads 'ft.plugins': rename it and install again"
    )
    assert "warning: plugin ends-a 1.0 (ends_a) could not be loaded: its entry-point group is" in result.stderr
    assert f"its entry-point group is '{group}'" in ft("plugins", "why", "ends-a").stdout


@pytest.mark.parametrize(
    ("group", "requires"),
    [("gift.plugins", ("ftkit",)), ("ft.freeze", ()), ("mytool.plugins", ("ftkit",)), ("ft.plugns", ("ftkit-extras",))],
)
def test_the_groups_of_other_tools_are_left_alone(
    ft: Ft, ft_install: Install, group: str, requires: tuple[str, ...]
) -> None:
    ft_install("ends-a", source("ends_a", ":1"), group=group, requires=requires)
    assert "ends-a" not in ft("plugins").output


@pytest.mark.parametrize(
    "requirement", ["ftkit>=7", "ftkit (>=7)", "FTkit~=0.2; python_version > '3'", "ftkit[hf]!=0.1.*", "ftkit<0.1"]
)
def test_a_requirement_that_this_ft_does_not_meet_is_seen(ft: Ft, ft_install: Install, requirement: str) -> None:
    ft_install("ends-a", source("ends_a", ":1"), requires=["numpy", requirement])
    result = ft("plugins", "--json")
    (row,) = (row for row in json.loads(result.stdout) if row["distribution"] == "ends-a")
    assert row["state"] == "ok"
    wanted = row["warning"].partition("pip install --upgrade ")[2]
    assert row["warning"].startswith(f"it requires {wanted[1:-1]}, and this is ftkit 0.1.0: ")
    assert f"warning: plugin ends-a 1.0 (ends_a) may not work: {row['warning']} (see ft plugins why" in result.stderr
    assert f"  it may not work: {row['warning']}\n" in ft("plugins", "why", "ends-a").stdout


@pytest.mark.parametrize(
    "requirement",
    ["ftkit", "ftkit>=0.1,<7", "ftkit>=7; extra == 'new'", "ftkit>=7; python_version < '3'", "ftkit-x>=7"],
)
def test_a_requirement_that_is_met_is_not_mentioned(ft: Ft, ft_install: Install, requirement: str) -> None:
    ft_install("ends-a", source("ends_a", ":1"), requires=[requirement])
    assert "may not work" not in ft("plugins").stderr


def test_a_plugin_that_fails_says_that_it_requires_another_ft(ft: Ft, ft_install: Install) -> None:
    ft_install("ends-a", {"ends_a.py": "from ft import NotYetThere"}, requires=["ftkit>=7"])
    told = ft("plugins").stderr
    assert "cannot import name 'NotYetThere'" in told
    assert "it requires ftkit>=7, and this is ftkit 0.1.0: pip install --upgrade 'ftkit>=7'" in told


def test_plugin_errors_are_raised_when_asked_for(ft: Ft, ft_install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    ft_install("missing", {"missing_plugin.py": "import nothing_like_it"})
    monkeypatch.setenv("FT_RAISE_PLUGIN_ERRORS", "1")
    with pytest.raises(ModuleNotFoundError, match="nothing_like_it"):
        ft("plugins")


# Seeing


def test_a_plugin_that_slows_every_command_is_told_with_the_way_out(ft: Ft, ft_install: Install) -> None:
    ft_install("ends-a", {"ends_a.py": "import time\ntime.sleep(1.05)\n" + PLUGIN.replace("MODULE", "ends_a")})
    ft_install("ends-b", source("ends_b", "-2:"))
    told = ft("plugins", "why", "ends-a")
    assert re.search(r"plugin ends-a 1\.0 \(ends_a\) takes 1\.\d s to import.*see ft plugins why ends-a", told.stderr)
    assert "ends-b" not in told.stderr
    assert "leave it out with --no-plugin ends-a, or always: FT_DISABLE_PLUGINS=ends-a" in told.stdout


def test_the_time_that_importing_took_is_told(ft: Ft, ft_install: Install) -> None:
    ft_install("slow", {"slow.py": f"import time\ntime.sleep(0.05)\n{PLUGIN}"})
    (row,) = (row for row in json.loads(ft("plugins", "list", "--json").output) if row["name"] == "ends")
    assert 50 <= row["import_ms"] < 5000


def test_tracing_shows_each_hook_and_each_call_with_its_duration(
    ft: Ft, ft_install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    ft_install("ends-a", source("ends_a", ":1"))
    assert "[ft]" not in ft("plan", *QUICK, "--freeze", "ends").stderr
    monkeypatch.setenv("FT_TRACE_PLUGINS", "1")
    lines = [line for line in ft("plan", *QUICK, "--freeze", "ends").stderr.splitlines() if line.startswith("[ft]")]
    said = [re.fullmatch(r"\[ft\] +\d+\.\d ms  (.*)", line)[1] for line in lines]  # type: ignore[index]
    assert {
        "import ends_a of ends-a 1.0",
        "ft_freeze_strategies of ends-a 1.0",
        "select of freezing strategy 'ends'",
        "build of head builder 'linear'",
    } <= set(said)


# Locking


@pytest.fixture
def made(ft: Ft, ft_install: Install) -> Path:
    """A finished run in the folder r; returns where its freezing strategy lies."""
    site = ft_install("ends-a", source("ends_a", ":1"))
    ft("run", *QUICK, "--freeze", "ends", "--run-dir", "r")
    return site


def test_a_run_records_what_its_components_are_made_of(made: Path, tmp_path: Path) -> None:
    components = json.loads((tmp_path / "r" / "versions.json").read_text())["components"]
    (strategy,) = (each for each in components if each["kind"] == "freeze")
    assert (strategy["name"], strategy["distribution"], strategy["version"]) == ("ends", "ends-a", "1.0")
    assert all(re.fullmatch("[0-9a-f]{64}", each["sha256"]) for each in components)


def test_a_locked_run_repeats_with_the_same_components(ft: Ft, made: Path, tmp_path: Path) -> None:
    ft("run", "--locked", "r", "--run-dir", "again", "--trust-code")
    first, second = (json.loads((tmp_path / run / "report.json").read_text()) for run in ("r", "again"))
    assert first["frozen_digest_after"] == second["frozen_digest_after"]
    with pytest.raises(FtError, match="names the code"):
        ft("run", "--locked", "r")


def test_a_locked_run_refuses_other_components_and_says_which(ft: Ft, made: Path, ft_install: Install) -> None:
    with pytest.raises(FtError, match=r"(?s)not the components of that run:\n  freezing strategy 'all' was not used\n"):
        ft("run", "--locked", "r", "--trust-code", "--freeze", "all")
    (made / "ends_a.py").write_text((made / "ends_a.py").read_text() + "# edited\n")
    with pytest.raises(FtError, match=r"freezing strategy 'ends' of ends-a 1\.0 has other code than it had"):
        ft("run", "--locked", "r", "--trust-code")
    ft_install("ends-a", source("ends_a", ":1"), version="1.1")
    with pytest.raises(FtError, match=r"freezing strategy 'ends' was of ends-a 1\.0, and is of ends-a 1\.1"):
        ft("run", "--locked", "r", "--trust-code")


def test_a_model_is_rebuilt_with_the_providers_it_was_made_with(ft: Ft, ft_install: Install, tmp_path: Path) -> None:
    head = """
from ft import HeadBuilder, hookimpl

def build(feature_dim, num_classes, settings):
    from torch import nn
    return nn.Linear(feature_dim, num_classes, bias=BIAS)

@hookimpl
def ft_head_builders():
    yield HeadBuilder("twice", "There twice", build=build)
"""
    ft_install("head-a", {"head_a.py": head.replace("BIAS", "True")})
    ft_install("head-b", {"head_b.py": head.replace("BIAS", "False")})
    prefer = ("--set", "prefer.head:twice=head-b")
    ft("run", *QUICK, "--freeze", "all", "--head", "twice", *prefer, "--run-dir", "r")
    assert json.loads((tmp_path / "r" / "model.json").read_text())["prefer"] == {"head:twice": "head-b"}
    assert json.loads(ft("evaluate", "r", "demo", "--json", "--trust-code").output)["images"] > 0


def test_of_several_processes_one_says_which_plugin_is_broken(
    ft_install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    ft_install("odd", {"odd_plugin.py": "raise KeyError('odd')"})
    load_and_report(speaks=False)
    assert capsys.readouterr().err == ""
    load_and_report()
    assert "odd" in capsys.readouterr().err
