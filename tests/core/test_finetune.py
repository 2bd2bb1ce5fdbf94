"""The straight path, end to end, on tiny networks and a tiny image set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from backbones import Small
from faults.interrupted_commands import make_images
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from ft.task.evaluation import figures_of
from signal_at_progress import SignalAtProgress

MakeConfig = Callable[..., Config]


def model_of(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_same_seed_gives_the_same_weights_to_the_bit(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    runs = [finetune(tiny_config(run_dir=tmp_path / name), plugins, Display())[0] for name in ("a", "b")]
    other, _ = finetune(tiny_config(run_dir=tmp_path / "c", seed=1), plugins, Display())
    assert same(model_of(runs[0]), model_of(runs[1]))
    assert not same(model_of(runs[0]), model_of(other))


def test_workers_do_not_change_the_result(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    alone, _ = finetune(tiny_config(run_dir=tmp_path / "a"), plugins, Display())
    helped, _ = finetune(tiny_config(run_dir=tmp_path / "b", machine__workers=2), plugins, Display())
    assert same(model_of(alone), model_of(helped))


def test_frozen_tensors_and_statistics_stay_and_the_head_moves(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(freeze=["all"], training__weight_decay=0.1)
    start = prepare(config, plugins, Display(), tensors="random").model.module.state_dict()
    run, report = finetune(config, plugins, Display())
    end = model_of(run)
    changed = {name for name in end if not torch.equal(start[name], end[name])}
    # layer2's BatchNorm has no parameters of its own; it lies in a frozen stage, so its statistics stay too
    assert changed == {"fc.weight", "fc.bias"}
    assert report.frozen_digest_before == report.frozen_digest_after
    assert report.trainable_parameters == 4 * 8 + 4


def test_what_is_not_frozen_moves_with_its_statistics(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(freeze=["until:stem"])
    start = prepare(config, plugins, Display(), tensors="random").model.module.state_dict()
    run, _ = finetune(config, plugins, Display())
    changed = {name for name, tensor in model_of(run).items() if not torch.equal(start[name], tensor)}
    assert not any(name.startswith(("stem.", "scale")) for name in changed)
    assert {"layer1.0.weight", "layer1.1.running_mean", "layer2.1.running_var", "fc.weight"} <= changed


@pytest.mark.parametrize(
    ("title", "done", "optimizer"),
    [("epoch 1/2", 2, "sgd"), ("epoch 2/2", 4, "sgd"), ("evaluating", 1, "sgd")]
    + [("epoch 1/2", 2, name) for name in ("adafactor", "muon", "nadam", "radam")],
)
def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not(
    title: str, done: int, optimizer: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {"freeze": ["until:stem"], "training__optimizer": optimizer}
    whole, report = finetune(tiny_config(run_dir=tmp_path / "whole", **keys), plugins, Display())
    config = tiny_config(run_dir=tmp_path / "stopped", **keys)
    with pytest.raises(StopAsked) as asked:
        finetune(config, plugins, SignalAtProgress(title, done))
    assert asked.value.folder == tmp_path / "stopped"
    stopped = Run(tmp_path / "stopped")
    resumed, resumed_report = finetune(stopped.config(trust_code=True), plugins, Display(), stopped)
    assert same(model_of(whole), model_of(resumed))
    assert report.val == resumed_report.val
    lines = [
        [json.loads(line) for line in (r.path / "metrics.jsonl").read_text().splitlines()] for r in (whole, resumed)
    ]
    for line in lines[0] + lines[1]:
        del line["seconds"]
    assert lines[0] == lines[1]


def test_resuming_a_finished_run_reports_again_and_trains_nothing(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, report = finetune(tiny_config(), plugins, Display())
    before = model_of(run)
    again, again_report = finetune(run.config(trust_code=True), plugins, Display(), run)
    assert same(before, model_of(again))
    assert report == again_report


def test_the_best_epoch_is_what_is_kept(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, report = finetune(tiny_config(training__epochs=4, training__lr=0.05), plugins, Display())
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    best = max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert (report.val["accuracy"], report.best_epoch) == (best["val_accuracy"], best["epoch"])
    assert report.val["loss"] == pytest.approx(best["val_loss"])


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """What the epochs to come are measured to be on validation images."""
    values: list[dict[str, float]] = []
    monkeypatch.setattr("ft.training.loop.figures_of", lambda *args: values.pop(0))
    return values


def test_of_epochs_of_equal_accuracy_the_one_with_the_lowest_loss_is_kept(
    measured: list[dict[str, float]], tiny_config: MakeConfig, plugins: Plugins
) -> None:
    losses = [0.56, 0.50, 0.45, 0.41, 0.38, 0.36, 0.34, 0.35]
    measured += [{"loss": loss, "accuracy": 0.75, "macro_f1": 0.7} for loss in losses]
    run, report = finetune(tiny_config(training__epochs=8), plugins, Display())
    assert report.best_epoch == 7
    assert run.read_checkpoint("best").position.epoch == 7


def test_training_goes_on_while_the_loss_still_falls_at_equal_accuracy(
    measured: list[dict[str, float]], tiny_config: MakeConfig, plugins: Plugins
) -> None:
    measured += [{"loss": loss, "accuracy": 0.5, "macro_f1": 0.4} for loss in (0.97, 0.55, 0.34, 0.36, 0.37, 0.30)]
    _, report = finetune(tiny_config(training__epochs=6, training__patience=2), plugins, Display())
    assert (report.epochs, report.best_epoch) == (5, 3)


def test_training_goes_on_while_the_accuracy_still_rises_at_a_rising_loss(
    measured: list[dict[str, float]], tiny_config: MakeConfig, plugins: Plugins
) -> None:
    measured += [
        {"loss": 0.3 + i / 10, "accuracy": accuracy, "macro_f1": 0.4}
        for i, accuracy in enumerate((0.5, 0.6, 0.7, 0.8, 0.7, 0.7, 0.9))
    ]
    _, report = finetune(tiny_config(training__epochs=7, training__patience=2), plugins, Display())
    assert (report.epochs, report.best_epoch) == (6, 4)


def test_training_stops_early_when_it_no_longer_gets_better(tiny_config: MakeConfig, plugins: Plugins) -> None:
    # with a learning rate this small nothing gets better than the first epoch
    config = tiny_config(freeze=["all"], training__head_lr=1e-12, training__epochs=9, training__patience=2)
    _, report = finetune(config, plugins, Display())
    assert (report.epochs, report.best_epoch) == (3, 1)


def test_auxiliary_classifiers_get_the_new_classes_and_learn(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config("with-aux", freeze=["all"])
    start = prepare(config, plugins, Display(), tensors="random").model.module.state_dict()
    run, report = finetune(config, plugins, Display())
    end = model_of(run)
    assert end["aux.2.weight"].shape == (4, 5)
    assert {n for n in end if not torch.equal(start[n], end[n])} == {
        "fc.weight",
        "fc.bias",
        "aux.2.weight",
        "aux.2.bias",
    }
    assert len(report.head) == 2


def test_the_run_folder_holds_what_it_promises(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, _ = finetune(tiny_config(freeze=["all"]), plugins, Display())
    assert {path.name for path in run.path.iterdir()} == {
        "config.yaml", "plan.json", "versions.json", "last.pt", "best.pt", "metrics.jsonl", "images.csv",
        "model.safetensors", "model.json", "outputs.safetensors", "report.json",
    }  # fmt: skip
    versions = run.read_json("versions.json")
    assert {c["kind"] for c in versions["components"]} == {
        *("backbone", "head", "freeze", "data", "task", "optimizer", "augmentation")
    }


def test_a_checkpoint_costs_what_is_trained(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, _ = finetune(tiny_config(freeze=["all"]), plugins, Display())
    assert set(torch.load(run.path / "last.pt", weights_only=True)["tensors"]) == {"fc.weight", "fc.bias"}


def test_the_test_split_is_measured_at_the_end(tiny_config: MakeConfig, plugins: Plugins) -> None:
    _, report = finetune(tiny_config(split__test=0.2), plugins, Display())
    assert report.test is not None
    assert sum(row["support"] for row in report.test.plain()["classes"]) == 4


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(training__lr=1e30, training__optimizer="sgd", training__warmup_epochs=0)
    with pytest.raises(FtError, match=r"the loss became (nan|inf) in epoch \d, step \d.*--lr"):
        finetune(config, plugins, Display())


def test_a_folder_that_is_taken_is_not_written_to(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    with pytest.raises(FtError, match="not empty"):
        finetune(tiny_config(), plugins, Display())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_a_run_folder_that_is_a_file_is_an_error(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(FtError, match="run is a file; choose another --run-dir"):
        finetune(tiny_config(), plugins, Display())


def test_class_weights_smoothing_clipping_and_groups_all_take_effect(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    def trained(name: str, **keys: Any) -> dict[str, torch.Tensor]:
        return model_of(
            finetune(tiny_config(run_dir=tmp_path / name, training__epochs=1, **keys), plugins, Display())[0]
        )

    plain = trained("plain")
    for number, keys in enumerate(
        (
            {"training__label_smoothing": 0.2},
            {"training__clip_norm": 1e-3, "training__optimizer": "sgd"},
            {"training__lr_decay": 0.5},
            {"training__head_lr": 0.1},
            {"training__optimizer": "sgd"},
            {"groups": [{"match": "until:stem", "lr": 0.1}]},
            {"images__augment": "none"},
            {"images__fit": "pad", "images__augment": "strong"},
        )
    ):
        assert not same(plain, trained(str(number), **keys)), keys


def test_a_run_whose_plan_changed_does_not_go_on_as_if_nothing_had(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    config = tiny_config(run_dir=tmp_path / "run")
    with pytest.raises(StopAsked):
        finetune(config, plugins, SignalAtProgress("epoch 1/2", 2))
    run = Run(tmp_path / "run")
    other = tiny_config(run_dir=tmp_path / "run", training__batch_size=4)
    with pytest.raises(
        FtError, match=r"cannot go on as it began: steps_per_epoch, training.batch_size changed since then"
    ):
        finetune(other, plugins, Display(), run)


@pytest.mark.parametrize("promise", ["off", "exact"])
def test_an_image_that_was_exchanged_under_its_name_is_noticed(
    promise: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    paths = make_images(tmp_path / "images", 6)
    keys: dict[str, Any] = {"data": str(tmp_path / "images"), "freeze": ["all"], "cache__promise": promise}
    config = tiny_config(run_dir=tmp_path / "run", **keys)
    with pytest.raises(StopAsked):
        finetune(config, plugins, SignalAtProgress("epoch 1/2", 1))
    content = paths[2].read_bytes()
    Image.new("RGB", (24, 24), "white").save(paths[2])
    run = Run(tmp_path / "run")
    with pytest.raises(FtError, match=f"1 of 12 images changed since then:\n  {paths[2]} has another content\n"):
        finetune(config, plugins, Display(), run)
    paths[2].write_bytes(content)
    finetune(config, plugins, Display(), run)


@pytest.mark.parametrize(
    "keys",
    [
        {"data": "./evil.py:Evil"},
        {"weights": "./evil.py:Evil"},
        {"weights__sources": ["./evil.py:Evil"]},
        {"freeze": ["./evil.py:Evil"]},
        {"groups": [{"match": "./evil.py:Evil", "lr": 0.1}]},
        {"head": "./evil.py:Evil"},
    ],
    ids=str,
)
def test_no_code_that_a_run_names_is_run_without_trust(
    keys: dict[str, Any], tiny_config: MakeConfig, tmp_path: Path
) -> None:
    config = tiny_config(**{"backbone": "torchvision:resnet18", **keys}).model_dump(mode="json")
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    with pytest.raises(FtError, match=r"evil\.py:Evil.*--trust-code"):
        Run(tmp_path).config(trust_code=False)
    assert Run(tmp_path).config(trust_code=True)


def test_weights_that_are_no_numbers_are_never_saved(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"training__optimizer": "sgd", "training__warmup_epochs": 0, "training__batch_size": 20}
    config = tiny_config(training__lr=1e39, training__momentum=0.0, training__epochs=1, **keys)
    with pytest.raises(FtError, match=r"(the validation loss became nan in epoch 1|is no longer finite after)"):
        finetune(config, plugins, SignalAtProgress("epoch 1/1", 1))
    assert not {"last.pt", "best.pt"} & {path.name for path in (tmp_path / "run").iterdir()}


def test_a_validation_loss_that_is_no_number_keeps_the_last_finite_checkpoint(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter([False, True])

    def broken(*args: Any) -> Any:
        measured = figures_of(*args)
        return {**measured, "loss": float("nan")} if next(calls) else measured

    monkeypatch.setattr("ft.training.loop.figures_of", broken)
    with pytest.raises(FtError, match=r"validation loss became nan in epoch 2, step 4.*last whole epoch is in"):
        finetune(tiny_config(), plugins, Display())
    for name in ("last.pt", "best.pt"):
        assert torch.load(tmp_path / "run" / name, weights_only=True)["position"]["epoch"] == 1


@pytest.mark.parametrize("phase", ["training features", "epoch 1/2"])
def test_a_run_without_a_checkpoint_begins_again_from_the_pretrained_weights(
    phase: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    torch.manual_seed(7)
    save_file(Small().state_dict(), tmp_path / "small.safetensors")
    keys: dict[str, Any] = {"weights": f"local:{tmp_path}/small.safetensors", "seed": int("features" in phase)}
    keys["freeze"] = ["all"] if "features" in phase else ["until:stem"]
    with pytest.raises(StopAsked):
        finetune(tiny_config(**keys), plugins, SignalAtProgress(phase, 16 if "features" in phase else 1))
    (tmp_path / "run" / "last.pt").unlink(missing_ok=True)  # as if the process had been killed
    run = Run(tmp_path / "run")
    again, _ = finetune(run.config(trust_code=True), plugins, Display(), run)
    whole, _ = finetune(tiny_config(run_dir=tmp_path / "whole", **keys), plugins, Display())
    assert same(model_of(again), model_of(whole))


def test_weights_of_a_run_that_saw_images_otherwise_are_said(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finetune(tiny_config(training__epochs=1), plugins, Display())
    keys: dict[str, Any] = {"weights": f"local:{tmp_path}/run", "training__epochs": 1}
    capsys.readouterr()
    finetune(tiny_config(run_dir=tmp_path / "alike", **keys), plugins, Display())
    assert "the weights were trained in" not in capsys.readouterr().err
    finetune(tiny_config(run_dir=tmp_path / "other", images__size=24, images__fit="pad", **keys), plugins, Display())
    said = capsys.readouterr().err
    assert (
        "on images of 16 px, fit crop; now they are given 24 px, fit pad. As there: --image-size 16 --fit crop" in said
    )


@pytest.mark.parametrize("head", ["linear", "mlp", "cosine", "stages"])
def test_a_head_of_any_kind_on_kept_features_ends_with_a_saved_model_and_a_page(
    head: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    frozen = {"freeze": ["all"], "cache__promise": "close", "images__augment": "none", "report__html": True}
    run, report = finetune(tiny_config("deep", head=head, **frozen), plugins, Display())
    assert report.cache.promise == "close"
    assert {"model.safetensors", "report.json", "report.html"} <= {each.name for each in run.path.iterdir()}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adafactor"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda value: value.new_zeros(()), "does not fit the optimizer"),
        (lambda value: value.new_zeros((1,) * value.ndim), "does not fit the optimizer"),
        (lambda value: value.int(), "does not fit the optimizer"),
        (lambda value: None, "is nothing, not float32"),
        (lambda value: value.mul(float("nan")), "holds what cannot be"),
    ],
)
def test_an_optimizer_state_that_no_such_parameter_can_have_is_refused(
    optimizer: str,
    damage: Callable[[torch.Tensor], object],
    message: str,
    tiny_config: MakeConfig,
    plugins: Plugins,
    tmp_path: Path,
) -> None:
    run, _ = finetune(tiny_config(training__optimizer=optimizer), plugins, Display())
    content = torch.load(run.path / "last.pt", weights_only=True)
    values = content["optimizer"]["layer2.0.weight"]
    key = next(name for name, value in values.items() if isinstance(value, torch.Tensor) and value.numel() > 1)
    values[key] = damage(values[key])
    torch.save(content, run.path / "last.pt")
    config = tiny_config(training__optimizer=optimizer, training__epochs=3)
    with pytest.raises(FtError, match=message):
        finetune(config, plugins, Display(), run)
