"""What is shown of learning rates: a curve that fits the terminal, the suggestion, and what it means for the run."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from ft.insight.learning_rates import read_curve
from ft.lr_finding import FoundRates
from ft.lr_shown import flags_of, plain_rates, rates_page, show_rates
from ft.machine.display import Display

RATES = [10 ** (-7 + 8 * step / 99) for step in range(100)]
LOSSES = [0.3 + 0.7 / (1 + (rate / 1e-3) ** 2) + max(0.0, math.log10(rate) + 1) ** 2 for rate in RATES]
CURVE = read_curve(RATES, LOSSES)
assert CURVE.suggested is not None
KEYWORDS = {"lr": CURVE.suggested, "head_lr": 10 * CURVE.suggested}
FOUND = FoundRates(CURVE, "lr", 10.0, KEYWORDS, 1e-4, True, "torchvision:resnet18", "photos")
FLAT = replace(FOUND, curve=read_curve(RATES, [1.0] * 100), keywords={})


def shown(found: FoundRates, command: str, width: int = 80) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    show_rates(found, command, Display(console, console))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_curve_fits_the_terminal(width: int) -> None:
    text = shown(FOUND, "ft run", width)
    assert all(len(line) <= width for line in text.splitlines())
    assert f"{CURVE.suggested:g} suggested" in text


def test_what_is_suggested_stands_beside_why_and_what_to_type() -> None:
    text = " ".join(shown(FOUND, "ft run --lr 0.001", 200).split())
    assert f"--lr {KEYWORDS['lr']:g} --head-lr {KEYWORDS['head_lr']:g}: the loss falls fastest at" in text
    assert "the run would have taken --lr 0.0001" in text
    assert "the head's rate is 10 times the backbone's" in text
    assert f"rates of groups in the config rose with the others: multiply them by {KEYWORDS['lr'] / 1e-4:.2g}" in text
    assert text.endswith("next ft run --lr 0.001")


def test_where_nothing_is_suggested_there_is_nothing_to_type() -> None:
    text = shown(FLAT, "")
    assert "the loss does not clearly fall at any rate" in text
    assert "ft run" not in text
    assert plain_rates(FLAT, "")["suggested"] == {}


@pytest.mark.parametrize("found", [FOUND, FLAT])
def test_the_page_has_the_curve_and_the_command(found: FoundRates) -> None:
    command = " ".join(("ft run", *flags_of(found.keywords))) if found.keywords else ""
    page = rates_page(found, command)
    assert "Loss by learning rate" in page
    assert ("Train with it" in page) is bool(command)
    assert command in page
