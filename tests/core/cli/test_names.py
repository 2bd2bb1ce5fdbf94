"""Names from outside, in every command that prints them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from conftest import TINY
from ft.text.terminal import visible

Ft = Callable[..., Result]
NAMES = [
    "bottle [glass]",
    "bottle [metal]",
    "[red] :cat:",
    "\x1b[31mred\u202egnp",
    "two\nlines",
    "猫",
    "d\udcc9j\udcc0",
]
FLAGS = (
    *("--backbone", f"{TINY}:small", "--weights", "none", "--image-size", "16", "--epochs", "1", "--workers", "0"),
    *("--precision", "fp32", "--device", "cpu", "--freeze", "all", "--run-dir", "[/r] [red]"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place, name in enumerate(NAMES[:-1]):  # a name that is not UTF-8 is a matter of the data
        (tmp_path / "[/data]" / name).mkdir(parents=True)
        for number in range(3):
            colour = (40 * place, 90 * number, 0)
            Image.new("RGB", (20, 20), colour).save(tmp_path / "[/data]" / name / f"{number} [bold].png")
    return tmp_path / "[/data]"


def test_class_and_file_names_are_text_in_every_command(ft: Ft, folder: Path) -> None:
    run = ft("run", *FLAGS, "--data", "./[/data]")
    evaluated = ft("evaluate", "[/r] [red]", "./[/data]", "--trust-code")
    predicted = ft("predict", "[/r] [red]", "[/data]", "--trust-code", "--top", "6")
    checked = ft("data", "check", "./[/data]")
    planned = ft("plan", *FLAGS, "--data", "./[/data]")
    for result in (run, evaluated, predicted, checked, planned):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", result.output)
        assert "[/data]" in result.output or result is run
    assert "[/r] [red]" in run.output
    for name in NAMES[:-1]:
        assert len(re.findall(rf"^ {re.escape(visible(name))} ", run.output, re.MULTILINE)) == 2
        assert len(re.findall(rf"^ {re.escape(visible(name))} ", evaluated.output, re.MULTILINE)) == 2
        assert f"[/data]/{visible(name)}/2 [bold].png" in predicted.output
    told = json.loads(ft("evaluate", "[/r] [red]", "./[/data]", "--trust-code", "--json").stdout)
    assert sorted(each["name"] for each in told["classes"]) == sorted(NAMES[:-1])


def test_a_model_json_that_somebody_hands_over_prints_nothing_but_text(ft: Ft, folder: Path) -> None:
    ft("run", *FLAGS, "--data", "./[/data]")
    path = Path("[/r] [red]", "model.json")
    about = json.loads(path.read_text())
    about["classes"] = [*NAMES[2:-1], "a\ttab", "x" * 100_000]
    path.write_text(json.dumps(about))
    output = ft("predict", "[/r] [red]", "[/data]", "--trust-code", "--top", "6").output
    assert "\x1b" not in output
    assert r"a\ttab " in output
    assert max(map(len, output.splitlines())) < 20_000


@pytest.mark.parametrize("bad", ["a\x1b[31mb", "a\u202eb", "a\udcffb"], ids=ascii)
@pytest.mark.parametrize(
    "line",
    [
        ("plan", "--backbone", "BAD"),
        ("plan", "--backbone", "torchvision:BAD"),
        ("plan", "--backbone", "torchvision:resnet18", "--data", "BAD"),
        ("plan", "--backbone", "torchvision:resnet18", "--freeze", "regex:BAD"),
        ("plan", "--backbone", "torchvision:resnet18", "--set", "BAD=1"),
        ("plan", "--config", "BAD"),
        ("plan", "--epochs", "BAD"),
        ("plan", "--BAD"),
        ("run", "--resume", "BAD"),
        ("predict", "BAD", "BAD"),
        ("data", "check", "BAD"),
        ("models", "BAD"),
        ("models", "show", "BAD"),
        ("weights", "doctor", "BAD"),
        ("plugins", "why", "BAD"),
        ("plugins", "check", "BAD"),
        ("describe", "freeze:BAD"),
        ("BAD",),
    ],
    ids=" ".join,
)
def test_what_was_typed_is_quoted_as_text(
    line: tuple[str, ...], bad: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from ft.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["ft", *(word.replace("BAD", bad) for word in line)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = "".join(capsys.readouterr())
    assert ended.value.code == 2
    assert bad not in said
    assert visible(bad) in said
    assert not re.search("[\x1b\u202e\ud800-\udfff]", said)


def test_a_reference_of_a_million_characters_is_not_echoed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ft.cli import main

    for line in (
        ("plan", "--backbone", "x" * 1_000_000),
        ("describe", "freeze:" + "x" * 1_000_000),
        ("x" * 1_000_000,),
    ):
        monkeypatch.setattr("sys.argv", ["ft", *line])
        with pytest.raises(SystemExit):
            main()
        said = "".join(capsys.readouterr())
        assert " characters ...]" in said
        assert len(said) < 5000


def test_the_traceback_of_a_bug_quotes_what_was_handed_over_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    from ft.cli.printing import tell_traceback

    try:
        raise ValueError(f"not \x1b[2J this\n\u202e {'x' * 1_000_000}")
    except ValueError as error:
        tell_traceback(type(error), error, error.__traceback__)
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):\n")
    assert r"ValueError: not \x1b[2J this" in said
    assert "\x1b" not in said
    assert len(said) < 6000
