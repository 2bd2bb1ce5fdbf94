"""Which names a message offers for one that does not exist."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from ft.config.schema import Config
from ft.errors import did_you_mean, nearest

TRAINING = list(Config.model_fields["training"].annotation.model_fields)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("epoch", "epochs"),
        ("batchsize", "batch_size"),
        ("batch-size", "batch_size"),
        ("head_rl", "head_lr"),
        ("optimiser", "optimizer"),
        ("Patience", "patience"),
        ("momentun", "momentum"),
        ("weigth_decay", "weight_decay"),
        ("opt", "optimizer"),
        ("warmup", "warmup_epochs"),
    ],
)
def test_a_slip_is_told_what_was_meant(slip: str, meant: str) -> None:
    assert did_you_mean(slip, TRAINING) == f" Did you mean '{meant}'?"


@pytest.mark.parametrize("word", ["scheduler", "dropout", "gamma", "beta", "steps", "accumulate", "nope", "x", ""])
def test_no_offer_is_better_than_a_wrong_one(word: str) -> None:
    assert did_you_mean(word, TRAINING) == ""


@pytest.mark.parametrize(
    ("slip", "known", "meant"),
    [
        ("resnet19", ["resnet18", "resnet34", "alexnet"], "resnet18"),
        ("resnet", ["wide_resnet50_2", "resnet152", "resnet18"], "resnet18"),
        ("regx", ["depth", "regex"], "regex"),
        ("sdg", ["sgd", "adamw"], "sgd"),
        ("fotos", ["photos", "runs"], "photos"),
        ("Cat", ["dog", "cat"], "cat"),
        ("depth", ["width"], ""),
        ("folder", ["timm", "hub"], ""),
    ],
)
def test_the_nearest_comes_first(slip: str, known: list[str], meant: str) -> None:
    assert next(iter(nearest(slip, known)), "") == meant


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=6))
def test_what_is_offered_exists_and_a_name_is_nearest_to_itself(word: str, known: list[str]) -> None:
    near = nearest(word, known, most=3)
    assert len(near) <= 3
    assert set(near) <= set(known)
    assert word in nearest(word, [word, *known], most=9)


def test_a_word_of_a_million_letters_takes_no_time() -> None:
    assert nearest("x" * 1_000_000, TRAINING) == []
