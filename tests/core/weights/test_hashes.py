from __future__ import annotations

import pytest

from ft.extension.records import WeightEntry
from ft.weights.hashes import MISNAMED, digest_in, expected_digest
from ft_torchvision.catalogue import models, weights


@pytest.mark.parametrize("name", MISNAMED)
def test_a_wrong_digest_in_a_published_name_gives_way_to_the_right_one(name: str) -> None:
    right = MISNAMED[name]
    assert len(right) == 64
    assert not right.startswith(digest_in(name))
    for said in (digest_in(name), digest_in(name).upper(), ""):
        assert expected_digest(WeightEntry("V1", name, sha256=said)) == right


def test_a_digest_that_the_user_demands_stays() -> None:
    name = next(iter(MISNAMED))
    assert expected_digest(WeightEntry("V1", name, sha256="a" * 64)) == "a" * 64


def test_other_entries_say_their_own() -> None:
    assert expected_digest(WeightEntry("V1", "net-1234abcd.pth", sha256="1234ABCD")) == "1234abcd"
    assert expected_digest(WeightEntry("V1", "net-1234abcd.pth")) == ""


@pytest.mark.parametrize(
    ("name", "digits"),
    [("a-1234abcd.pth", "1234abcd"), ("a-1234.pth", ""), ("a.pth", ""), ("a-.pth", ""), ("a-vit_b_16.pth", "")],
)
def test_digits_in_names(name: str, digits: str) -> None:
    assert digest_in(name) == digits


def test_todays_names_of_the_same_files_agree() -> None:
    entries = [entry for model in models(None) for entry in weights(model)]
    today = {e.file_name.rpartition("-")[0]: e.sha256 for e in entries}
    for name, right in MISNAMED.items():
        assert right.startswith(today[name.rpartition("-")[0]])
