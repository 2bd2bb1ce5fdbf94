"""What the shell offers when somebody types half a name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from ft.cli import cli
from ft.cli.completion import _glued


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
        (("run", "--set", "training.optimizer=s"), ["training.optimizer=sgd"]),
        (("run", "--head", "mlp", "--set", "head.hi"), ["head.hidden="]),
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
    ("words", "glued"),
    [
        (["run", "--freeze", ""], ["run", "--freeze", ""]),
        (["--backbone", "torchvision", ":", "vg"], ["--backbone", "torchvision:vg"]),
        (["--backbone", "torchvision", ":", ""], ["--backbone", "torchvision:"]),
        (["--set", "training.optimizer", "=", ""], ["--set", "training.optimizer="]),
        (["--backbone", "=", "torchvision", ":", "vg", "--head", "m"], ["--backbone=torchvision:vg", "--head", "m"]),
    ],
)
def test_what_bash_cuts_at_colons_is_put_together(words: list[str], glued: list[str]) -> None:
    assert _glued(words) == glued


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_after_a_colon(tmp_path: Path) -> None:
    command = tmp_path / "ft"
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c 'from ft.cli import main; main()' \"$@\"\n")
    command.chmod(0o755)
    script = """
eval "$(_FT_COMPLETE=bash_source ft)"
COMP_WORDS=(ft run --backbone torchvision : vgg1); COMP_CWORD=5
_ft_completion ft
echo "${COMPREPLY[*]}"
"""
    environ = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]
