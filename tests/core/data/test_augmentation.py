"""Augmentations of one's own: views follow from seed, epoch and image, and are kept until the code changes."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from augmentations import augmentation
from ft import FtError
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display

LOOSE = """
import random

import numpy as np


class Mine:
    'Other light'

    def build(self, preprocessing, settings):
        'By all three generators.'
        return darker


def darker(image):
    return (image // (1 + random.randrange(DARKEST))).roll(int(np.random.randint(0, 4)), -1)


class Floats:
    def build(self, preprocessing, settings):
        return lambda image: image / 255
"""


@pytest.fixture
def loose(tmp_path: Path) -> Callable[..., str]:
    """Write a file of augmentations of one's own; returns its path."""

    def write(name: str, darkest: int = 3) -> str:
        (tmp_path / name).write_text(LOOSE.replace("DARKEST", str(darkest)))
        return str(tmp_path / name)

    return write


def test_views_of_ones_own_augmentation_are_replayed_as_the_plain_loop_makes_them(
    loose: Callable[..., str], tiny_config: Callable[..., Config], plugins: Plugins, tmp_path: Path
) -> None:
    keys = {"freeze": ["all"], "images__augment": f"{loose('mine.py')}:Mine", "images__views": 2, "training__epochs": 4}
    kept, report = finetune(tiny_config(**keys, cache__promise="exact"), plugins, Display())
    plain, _ = finetune(tiny_config(**keys, cache__promise="off", run_dir=tmp_path / "plain"), plugins, Display())
    assert report.cache.promise == "exact"
    one, other = (run.read_checkpoint("last").tensors for run in (kept, plain))
    assert all(torch.equal(one[name], other[name]) for name in one)
    changed = {**keys, "images__augment": f"{loose('changed.py', 9)}:Mine", "run_dir": tmp_path / "changed"}
    _, again = finetune(tiny_config(**changed, cache__promise="exact"), plugins, Display())
    assert again.cache.computed > 0  # nothing of the other code's views is taken for this one's


def test_what_an_augmentation_takes_from_elsewhere_decides_its_views_too(
    tiny_config: Callable[..., Config], plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module beside the file, as a library of another version, is not among the code that is known to decide."""
    monkeypatch.syspath_prepend(str(tmp_path))
    beside, file = types.ModuleType("beside"), tmp_path / "mine.py"
    monkeypatch.setitem(sys.modules, "beside", beside)
    file.write_text(
        "import beside\nclass Mine:\n    def build(self, preprocessing, settings):\n        return beside.darker\n"
    )
    models = []
    for number, darkest in enumerate((2, 2, 5)):
        vars(beside)["darker"] = lambda image, darkest=darkest: image // darkest
        keys = {"images__augment": f"{file}:Mine", "images__views": 2, "training__epochs": 4}
        run, report = finetune(tiny_config(**keys, run_dir=tmp_path / f"{number}"), plugins, Display())
        assert report.cache.promise == "exact"  # decoded images are kept
        models.append(run.read_checkpoint("last").tensors)
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert not all(torch.equal(models[1][name], models[2][name]) for name in models[1])


def test_new_views_in_every_epoch_are_said_to_be_in_the_way(
    loose: Callable[..., str], tiny_config: Callable[..., Config], plugins: Plugins
) -> None:
    use = f"{loose('mine.py')}:Mine"
    plan = prepare(tiny_config(freeze=["all"], images__augment=use), plugins, Display()).plan
    assert f"augmentation '{use}' makes a new view of every image in every epoch" in plan.cache.reason


def test_what_makes_no_image_of_bytes_is_the_plugins_fault(
    loose: Callable[..., str], tiny_config: Callable[..., Config], plugins: Plugins
) -> None:
    config = tiny_config(images__augment=f"{loose('mine.py')}:Floats")
    with pytest.raises(TypeError, match=r"augmentation 'Floats' .* made torch\.float32 \[3, 16, 16\] of an image"):
        finetune(config, plugins, Display())


def test_the_name_of_a_flag_says_what_its_key_says() -> None:
    sets = ["augment.scale=[0.2,1]", "optimizer.momentum=0.8"]
    config = load_config(None, sets, {"backbone": "a:b", "images.augment": "standard", "training.optimizer": "sgd"})
    assert (config.images.augment.settings, config.training.optimizer.settings) == (
        {"scale": [0.2, 1]},
        {"momentum": 0.8},
    )
    assert str(config.images.augment) == "standard (scale: [0.2, 1])"
    assert str(load_config(None, ["augment=flip"], {"backbone": "a:b"}).images.augment) == "flip"


def test_auto_takes_no_settings(tiny_config: Callable[..., Config], plugins: Plugins) -> None:
    config = tiny_config(images__augment={"use": "auto", "scale": [0.2, 1]})
    with pytest.raises(FtError) as error:
        prepare(config, plugins, Display())
    assert str(error.value) == (
        "'auto' (none if only the head trains, else standard) takes no settings, and there is images.augment.scale; "
        "name the augmentation that is to take it, as in --augment NAME"
    )


def test_settings_decide_and_are_said(tiny_config: Callable[..., Config], plugins: Plugins) -> None:
    plans = [prepare(tiny_config(images__augment={"use": "flip", "p": p}), plugins, Display()).plan for p in (0.1, 0.2)]
    assert [plan.augment for plan in plans] == ["flip (p: 0.1)", "flip (p: 0.2)"]
    assert plans[0].digest() != plans[1].digest()
    assert augmentation("flip", p=0.1).about() == {"use": "flip", "settings": {"p": 0.1}}
