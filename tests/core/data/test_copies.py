"""Images that are there twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given, settings, strategies as st
from PIL import Image

from classified import image_data
from ft.data.copies import warn_of_copies
from ft.data.load import ImageData, Item
from ft.data.pictures import Picture

TINY = f"{Path(__file__).parents[2] / 'tiny_provider.py'}:Tiny"


def data(train: str, val: str, test: str = "") -> ImageData:
    """Images by their content, a letter each; capitals are of the class 'upper'."""
    digests: dict[str, str] = {}

    def items(split: str, contents: str) -> tuple[Item, ...]:
        made = tuple(Item(Picture(f"{split}{i}"), int(c.isupper())) for i, c in enumerate(contents))
        digests.update({item.picture.name: c.lower() for item, c in zip(made, contents, strict=True)})
        return made

    parts = items("train", train), items("val", val), items("test", test)
    return image_data(("lower", "upper"), *parts, "given", warnings=("before",), digests=digests)


def warned(*contents: str) -> list[str]:
    before, *warnings = warn_of_copies(data(*contents)).warnings
    assert before == "before"
    return warnings


def test_copies_that_measure_what_they_trained_are_counted_with_an_example() -> None:
    assert warned("abcd", "xbya", "zbx") == [
        "2 of 4 val images are copies of training images, as val1 of train1: figures come out too good; ft data check "
        "lists them",
        "2 of 3 test images are copies of training or validation images, as test1 of train1: figures come out too "
        "good; ft data check lists them",
    ]


def test_copies_of_two_classes_are_counted_with_an_example() -> None:
    assert warned("abB", "A") == [
        "1 of 1 val image is a copy of training images, as val0 of train0: figures come out too good; ft data check "
        "lists them",
        "2 images are copies of an image with another label, as train1 ('lower') and train2 ('upper'); one of the "
        "labels is wrong",
    ]


def test_copies_that_only_train_are_no_matter() -> None:
    assert warned("aab", "c", "d") == []


contents = st.text("abcABC", max_size=6)


@settings(max_examples=40)
@given(contents, contents, contents)
def test_there_is_a_warning_exactly_where_splits_or_classes_share_an_image(train: str, val: str, test: str) -> None:
    said = " ".join(warned(train, val, test))
    a, b, c = (set(part.lower()) for part in (train, val, test))
    assert ("val image" in said) == bool(a & b)
    assert ("test image" in said) == bool((a | b) & c)
    assert ("another label" in said) == any(each.swapcase() in train + val + test for each in train + val + test)


@pytest.mark.parametrize("command", ["plan", "run"])
def test_plan_and_run_warn(command: str, tmp_path: Path, ft: Callable[..., Result]) -> None:
    for split in ("train", "val"):
        for number, label in enumerate("ab"):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(2):
                colour = (60 * number, 90 * i, 200 * (split == "val"))
                Image.new("RGB", (8, 8), colour).save(tmp_path / split / label / f"{i}.png")
    shutil.copy(tmp_path / "train/a/0.png", tmp_path / "val/a/copy.png")
    flags = f"--backbone {TINY}:small --weights none --freeze all --data . --image-size 16 --workers 0"
    said = ft(command, *flags.split(), *(["--epochs", "1"] if command == "run" else [])).stderr
    assert "warning: 1 of 5 val images is a copy of training images" in said
