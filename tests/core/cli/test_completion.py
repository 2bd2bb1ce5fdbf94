"""What the shell offers when somebody types half a name."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from ft.cli import cli
from ft.cli.shells import Bash, Fish, Zsh, glued


def offered(*words: str) -> list[str]:
    *args, incomplete = words
    completer = ShellComplete(cli, {}, "ft", "_FT_COMPLETE")
    return [item.value for item in completer.get_completions(list(args), incomplete)]


@pytest.mark.parametrize(
    ("line", "some"),
    [
        (("run", "--backbone", "torchvision:vgg1"), [f"torchvision:vgg1{n}" for n in (1, 3, 6, 9)]),
        (("run", "--freeze", "de"), ["depth:"]),
        (("run", "--train", "al"), ["all"]),
        (("run", "--head", "k"), ["keep"]),
        (("run", "--head", "m"), ["mlp"]),
        (("run", "--weights", "n"), ["none"]),
        (
            ("run", "--backbone", "torchvision:resnet50", "--weights", "IMAGENET1K_V"),
            ["IMAGENET1K_V2", "IMAGENET1K_V1"],
        ),
        (("run", "--weight-source", "mi"), ["mirror:"]),
        (("plan", "--data", "d"), ["demo"]),
        (("run", "--set", "training.ep"), ["training.epochs="]),
        (("run", "--optimizer", "s"), ["sgd"]),
        (("run", "--recipe", "lp"), ["lp-ft"]),
        (("recipes", "show", "lp"), ["lp-ft"]),
        (("run", "--set", "training.optimizer=s"), ["training.optimizer=sgd"]),
        (("run", "--set", "head=m"), ["head=mlp"]),
        (("run", "--optimizer", "sgd", "--set", "training.optimizer.m"), ["training.optimizer.momentum="]),
        (("run", "--set", "training.optimizer.b"), ["training.optimizer.betas="]),
        (("run", "--head", "mlp", "--set", "head.hi"), ["head.hidden="]),
        (("run", "--freeze", "fisher:1", "--set", "freeze."), ["freeze.images="]),
        (("run", "--freeze", "all", "--freeze", "fisher:1", "--set", "freeze."), ["freeze.1.images="]),
        (("run", "--train", "fisher:1", "--set", "train."), ["train.images="]),
        (("run", "--freeze", "./no.py:Strategy", "--set", "freeze."), []),
        (("run", "--set", "data.images"), ["data.images_per_class="]),
        (("describe", "freeze:re"), ["freeze:regex"]),
        (("plugins", "why", "head:l"), ["head:linear"]),
        (("plugins", "check", "ftk"), ["ftkit"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_names_and_settings_are_completed(line: tuple[str, ...], some: list[str]) -> None:
    assert set(some) <= set(offered(*line))
    assert all(each.startswith(line[-1]) for each in offered(*line))


def test_half_a_line_that_is_wrong_offers_nothing_and_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert "none" in offered("run", "--weights", "")
    assert offered("run", "--backbone", "torchvision:no-such", "--weights", "") == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["run", "--freeze", ""], ["run", "--freeze", ""]),
        (["--backbone", "torchvision", ":", "vg"], ["--backbone", "torchvision:vg"]),
        (["--backbone", "torchvision", ":", ""], ["--backbone", "torchvision:"]),
        (["--set", "training.optimizer", "=", ""], ["--set", "training.optimizer="]),
        (["--backbone", "=", "torchvision", ":", "vg", "--head", "m"], ["--backbone=torchvision:vg", "--head", "m"]),
    ],
)
def test_what_bash_cuts_at_colons_is_put_together(words: list[str], whole: list[str]) -> None:
    assert glued(words) == whole


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("photos", "my photos [1]", "runs/first", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("labels.csv", "weights.pth", "ft.yaml", "photos/cat.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "my_freeze.py").write_text("class MyFreeze:\n    pass\n\n\ndef _own(): ...\n\n\nraise SystemExit\n")
    (tmp_path / "broken.py").write_text("class (")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


PATHS = [
    (("run", "--data", "./ph"), ["./photos/"]),
    (("run", "--data", "ph"), ["photos/"]),
    (("plan", "--data", "~/photos/"), ["~/photos/cat.jpg"]),
    (("run", "--data", "csv:./l"), ["csv:./labels.csv"]),
    (("run", "--data", "folder:my "), ["folder:my photos [1]/"]),
    (("run", "--weights", "local:./w"), ["local:./weights.pth"]),
    (("run", "--weight-source", "local:w"), ["local:weights.pth"]),
    (("run", "--freeze", "./my_f"), ["./my_freeze.py:"]),
    (("run", "--freeze", "./my_freeze.py:"), ["./my_freeze.py:MyFreeze"]),
    (("run", "--head", "./broken.py:"), []),
    (("run", "--freeze", "regex:./w"), []),
    (("run", "--config", "./f"), ["./ft.yaml"]),
    (("run", "--recipe", "./f"), ["./ft.yaml"]),
    (("run", "--resume", "ru"), ["runs/"]),
    (("run", "--locked", "runs/"), ["runs/first/"]),
    (("run", "--data", "./."), ["./.hidden/"]),
    (("run", "--data", "./nowhere/"), []),
    (("predict", "ru"), ["runs/"]),
    (("predict", "runs/first", "./ph"), ["./photos/"]),
    (("explain", "runs/first", "./ph"), ["./photos/"]),
    (("explain", "runs/first", "--out", "./ph"), ["./photos/"]),
    (("evaluate", "runs/first", "./ph"), ["./photos/"]),
    (("data", "check", "csv:l"), ["csv:labels.csv"]),
]


@pytest.mark.parametrize(("line", "paths"), PATHS, ids=lambda value: " ".join(value))
@pytest.mark.parametrize("shell", [Bash, Zsh, Fish])
def test_paths_are_completed(folder: Path, shell: type[ShellComplete], line: tuple[str, ...], paths: list[str]) -> None:
    *args, incomplete = line
    found = [item.value for item in shell(cli, {}, "ft", "_FT_COMPLETE").get_completions(args, incomplete)]
    assert [value for value in found if not value.endswith(":") or ".py:" in value] == paths


@pytest.mark.parametrize("flag", ["--config", "--data"])
def test_a_shell_that_replaces_the_whole_word_gets_the_flag_back(folder: Path, flag: str) -> None:
    for shell in (Zsh, Fish):
        found = shell(cli, {}, "ft", "_FT_COMPLETE").get_completions(["run"], f"{flag}=./f")
        assert [item.value for item in found] == [f"{flag}=./ft.yaml"]


def typed_in_bash(tmp_path: Path, *words: str) -> list[str]:
    """What bash would put in place of the last word."""
    command = tmp_path / "ft"
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m ft \"$@\"\n")
    command.chmod(0o755)
    script = f"""
eval "$(_FT_COMPLETE=bash_source ft)"
COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}
_ft_completion ft
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environ = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", script], env=environ, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_after_a_colon_and_quotes_names(folder: Path) -> None:
    models = ["vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]
    assert typed_in_bash(folder, "ft", "run", "--backbone", "torchvision", ":", "vgg1") == models
    assert typed_in_bash(folder, "ft", "run", "--data", "folder", ":", "./my") == [
        r"./my\ photos\ \[1\]/",
        "./my_freeze.py",
    ]
