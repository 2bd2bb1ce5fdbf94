"""The arguments of a command can be typed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ft.cli.options import config_from, config_options, words_of
from ft.extension.installed import Plugins

TYPED = (
    ["--backbone", "torchvision:resnet18", "--data", "./my photos", "--lr", "0.001"],
    ["--backbone", "a:b", "--freeze", "all", "--train", "regex:layer4.*", "--train", "regex:fc.*", "--auto-batch"],
    [
        "--backbone=a:b",
        "--no-channels-last",
        "--set",
        "seed=3",
        "--set",
        "head={use: mlp, hidden: [8]}",
        "--views",
        "4",
    ],
)


@pytest.mark.parametrize("words", TYPED)
def test_words_typed_again_mean_the_same(words: list[str], plugins: Plugins) -> None:
    @click.command()
    @config_options
    def command(file: Path | None, sets: tuple[str, ...], **given: Any) -> None:
        configs.append(config_from(file, sets, given, plugins))
        again.append(list(words_of(file, sets, given)))

    configs, again = list[Any](), list[list[str]]()
    CliRunner().invoke(command, words, catch_exceptions=False)
    CliRunner().invoke(command, again[0], catch_exceptions=False)
    assert configs[0] == configs[1]
    assert again[0] == again[1]


def test_what_is_left_out_is_neither_a_flag_nor_set() -> None:
    @click.command()
    @config_options
    def command(file: Path | None, sets: tuple[str, ...], **given: Any) -> None:
        words.extend(words_of(file, sets, given, without=("training.lr", "training.head_lr")))

    words = list[str]()
    flags = [
        "--lr",
        "0.1",
        "--epochs",
        "3",
        "--set",
        "training.head_lr=1",
        "--set",
        "lr=2",
        "--set",
        "training.lr_decay=0.5",
    ]
    CliRunner().invoke(command, flags, catch_exceptions=False)
    assert words == ["--epochs", "3", "--set", "training.lr_decay=0.5"]
