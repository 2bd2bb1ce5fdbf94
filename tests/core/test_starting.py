"""A run that starts from another one: what its head knows, which images it sees again, how it does beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from conftest import TINY
from finished_runs import FinishedRun, assert_same_outcome, metrics_in
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.data.image_list import known_splits, listed_images
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from signal_at_progress import SignalAtProgress

Make = Callable[..., Config]
CLASSES = {"cat": 10, "dog": 10}
MORE = {"ant": 5, "cat": 10, "dog": 10}
COLOURS = {"ant": (20, 40), "cat": (200, 20), "dog": (20, 200)}


def photos(folder: Path, classes: dict[str, int], first: int = 0) -> Path:
    for label, count in classes.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            Image.new("RGB", (20, 20), (number * 8, *COLOURS[label])).save(folder / label / f"{number}.png")
    return folder


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A config by the name of its run, and the keys that differ."""
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))

    def config(name: str, data: Path, **keys: Any) -> Config:
        usual = {
            "backbone": f"{TINY}:small",
            "data": str(data),
            "freeze": ["all"],
            "training.optimizer": "lbfgs",
            "machine.precision": "fp32",
            "machine.device": "cpu",
            "machine.workers": 0,
            "report.html": False,
            "cache.promise": "close",
            "run_dir": tmp_path / name,
            **({} if "from_run" in keys else {"images.size": 16, "weights": "none"}),
        }
        flags = {**usual, **{key.replace("__", "."): value for key, value in keys.items()}}
        return load_config(flags={key: value for key, value in flags.items() if value is not None})

    return config


@pytest.fixture
def first(make: Make, plugins: Plugins, tmp_path: Path) -> FinishedRun:
    return FinishedRun(make("first", photos(tmp_path / "few", CLASSES)), plugins)


def test_a_head_that_grows_keeps_what_it_knows_and_decodes_only_what_is_new(
    make: Make, plugins: Plugins, tmp_path: Path, first: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    more = photos(tmp_path / "few", {"ant": 5})
    with pytest.raises(FtError, match="knows 2 classes, and not ant: add --head grow"):
        prepare(make("no", more, from_run=first.run.path), plugins, Display())
    config = make("second", more, from_run=first.run.path, head="grow")

    second = FinishedRun(config, plugins)
    assert (second.report.cache.computed, second.report.classes) == (5, ("ant", "cat", "dog"))
    assert second.report.cache.decoded == 5
    before = second.report.before
    assert before is not None
    assert (before.names, before.images, before.left_out) == (("cat", "dog"), 4, 0)
    assert before.then["accuracy"] == first.report.val["accuracy"]
    assert second.report.plain()["before"]["now"]["accuracy"] == before.now["accuracy"]
    assert second.run.model_file().provenance["weights"]["source"] == str(first.run.path)

    begins = prepare(config, plugins, Display(), "pretrained").model.module.state_dict()
    assert begins["fc.weight"][1:].equal(first.weights["fc.weight"])
    assert begins["fc.bias"][1:].equal(first.weights["fc.bias"])
    kept = first.weights["fc.weight"].norm(dim=1).mean()
    assert 0 < begins["fc.weight"][0].norm() <= 2 * kept
    assert all(begins[name].equal(each) for name, each in first.weights.items() if not name.startswith("fc."))

    again = load_config(second.run.path / "config.yaml", (), {"run_dir": tmp_path / "again"})
    assert_same_outcome(second, FinishedRun(again, plugins))
    (first.run.path / "model.safetensors").write_bytes((second.run.path / "model.safetensors").read_bytes())
    other = again.model_copy(update={"run_dir": tmp_path / "other"})
    with pytest.raises(FtError, match=r"changed since this config began with it: its weights were .* add --from"):
        finetune(other, plugins, Display())


def test_no_image_that_trained_is_measured_on_by_the_runs_that_follow(
    make: Make, plugins: Plugins, tmp_path: Path, first: FinishedRun
) -> None:
    def parts(run: FinishedRun) -> dict[str, str]:
        return {each.digest: each.split for each in listed_images(run.run.path / "images.csv")}

    second = FinishedRun(
        make("second", photos(tmp_path / "few", {"cat": 5}, 20), from_run=first.run.path, split__seed=7), plugins
    )
    was, now = parts(first), parts(second)
    assert {digest: now[digest] for digest in was} == was
    assert len(now) == len(was) + 5
    third_data = photos(tmp_path / "third data", {"ant": 6, "dog": 5})
    third = FinishedRun(make("third", third_data, from_run=second.run.path, head="grow", split__seed=9), plugins)
    known = known_splits(third.run.path / "images.csv")
    assert all(known[digest] == {part} for digest, part in now.items())
    assert any("train has no image of 1 of 3 classes: cat; the head goes on" in each for each in third.report.warnings)


def test_images_that_the_data_itself_says_validate_are_told_where_they_trained(
    make: Make, plugins: Plugins, tmp_path: Path, first: FinishedRun
) -> None:
    data = tmp_path / "parted"
    photos(data / "val", CLASSES)
    photos(data / "train", CLASSES, 20)
    report = FinishedRun(make("second", data, from_run=first.run.path), plugins).report
    assert any("16 of 20 images are of val, and they trained" in each for each in report.warnings)
    assert report.before is not None
    assert (report.before.images, report.before.left_out) == (4, 16)


def test_a_run_goes_on_without_the_one_that_it_started_from(
    make: Make, plugins: Plugins, tmp_path: Path, first: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {
        "training.optimizer": "adamw",
        "training.epochs": 1,
        "cache.promise": "off",
        "from_run": first.run.path,
        "head": "grow",
    }
    second = FinishedRun(make("second", photos(tmp_path / "more", MORE), **keys), plugins)
    first.run.path.rename(tmp_path / "elsewhere")
    config = second.run.config(True, {"training.epochs": 2})
    run, report = finetune(config, plugins, Display(), second.run)
    assert (report.epochs, report.before, report.classes) == (2, None, ("ant", "cat", "dog"))
    assert "is not known any more: there is no folder" in capsys.readouterr().err
    assert load_file(run.path / "model.safetensors")["fc.weight"].shape == (3, 8)


def test_a_run_in_phases_starts_from_a_run_and_goes_on_without_it_wherever_it_was_stopped(
    make: Make, plugins: Plugins, tmp_path: Path, first: FinishedRun
) -> None:
    still = {"freeze": "all", "epochs": 1, "lr": 1e-9, "head_lr": 1e-9, "optimizer": "adamw", "augment": "none"}
    phases = [still, {**still, "freeze": ["until:layer1"], "lr": 0.001, "head_lr": 0.01, "epochs": 2}]
    keys = {"from_run": first.run.path, "head": "grow", "phases": phases, "cache.promise": "off"}
    keys |= {"freeze": None, "training.optimizer": None}  # each phase says its own
    data = photos(tmp_path / "few", {"ant": 5})
    begun = FinishedRun(make("begun", data, **{**keys, "phases": [still]}), plugins)
    ours, theirs = begun.weights["fc.weight"], first.weights["fc.weight"]
    assert torch.allclose(ours[1:], theirs, atol=1e-5), "cat and dog are rows 1 and 2 now"
    assert ours[0].norm() > 0
    whole = FinishedRun(make("whole", data, **keys), plugins)
    assert whole.report.before is not None
    assert not torch.equal(whole.weights["layer2.0.weight"], first.weights["layer2.0.weight"])
    assert torch.equal(whole.weights["stem.0.weight"], first.weights["stem.0.weight"])
    with pytest.raises(StopAsked):
        finetune(make("stopped", data, **keys), plugins, SignalAtProgress("epoch 2/3", 2))
    first.run.path.rename(tmp_path / "elsewhere")
    stopped = Run(tmp_path / "stopped")
    finetune(stopped.config(True), plugins, Display(), stopped)
    weights = load_file(stopped.path / "model.safetensors")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in whole.weights.items())
    assert metrics_in(stopped.path) == whole.metrics


def test_labels_of_an_image_grow_and_targets_stay_in_their_units(make: Make, plugins: Plugins, tmp_path: Path) -> None:
    folder = photos(tmp_path / "all", MORE)

    def table(name: str, labels: Callable[[str, int], str]) -> Path:
        rows = [(f"{path}", labels(path.parent.name, int(path.stem))) for path in sorted(folder.glob("*/*.png"))]
        text = "path,label\n" + "".join(f"{path},{label}\n" for path, label in rows if label != "-")
        (tmp_path / name).write_text(text)
        return tmp_path / name

    few = table("few.csv", lambda c, n: "-" if c == "ant" else f"{c};even" if n % 2 else c)
    more = table("more.csv", lambda c, n: f"{c};even" if n % 2 else c)
    labels = FinishedRun(make("labels", few, task="multilabel"), plugins)
    grown = FinishedRun(make("grown", more, from_run=labels.run.path, head="grow"), plugins)
    assert grown.report.classes == ("ant", "cat", "dog", "even")
    assert grown.report.before is not None
    assert grown.report.before.names == ("cat", "dog", "even")

    numbers = FinishedRun(make("numbers", table("n.csv", lambda c, n: str(n)), task="regression"), plugins)
    shifted = make("shifted", table("m.csv", lambda c, n: str(100 + n)), from_run=numbers.run.path)
    ready = prepare(shifted, plugins, Display(), "pretrained")
    assert ready.data.space.numbers == numbers.run.model_file().numbers
    assert ready.model.module.state_dict()["fc.weight"].equal(numbers.weights["fc.weight"])


@pytest.mark.parametrize("head", ["linear", "mlp", "cosine", "gem", "attention-pool"])
def test_every_head_grows(head: str, make: Make, plugins: Plugins, tmp_path: Path) -> None:
    keys = {
        "backbone": f"{TINY}:with-pooling",
        "training.optimizer": "adamw",
        "training.epochs": 1,
        "cache.promise": "off",
    }
    data = photos(tmp_path / "few", {"cat": 4, "dog": 4})
    known = FinishedRun(make("first", data, head=head, **keys), plugins)
    old = prepare(make("old", data, from_run=known.run.path, **keys), plugins, Display(), "pretrained").model.module
    config = make("second", photos(tmp_path / "few", {"ant": 4}), from_run=known.run.path, head="grow", **keys)
    module = prepare(config, plugins, Display(), "pretrained").model.module.eval()
    images = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(module(images)[:, 1:], old.eval()(images), atol=1e-6)


def test_a_head_that_does_not_say_where_its_classes_are_does_not_grow(
    make: Make, plugins: Plugins, tmp_path: Path, first: FinishedRun
) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n\ndef plain(features, classes, settings):\n    return nn.Linear(features, classes)\n"
    )
    head = f"{tmp_path / 'mine.py'}:plain"
    known = FinishedRun(make("mine", tmp_path / "few", head=head), plugins)
    with pytest.raises(FtError, match="names the code"):
        make("no", photos(tmp_path / "more", MORE), from_run=known.run.path, head="grow")
    config = make("new", tmp_path / "more", from_run=first.run.path, head=head)
    assert prepare(config, plugins, Display()).data.space.names == ("ant", "cat", "dog")
