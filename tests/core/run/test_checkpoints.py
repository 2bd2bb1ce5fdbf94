from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backbones import Small
from ft.errors import FtError
from ft.run.checkpoints import Checkpoint, load_checkpoint, load_tensors, moving_tensors, save_checkpoint, save_tensors
from ft.run.position import Phase, Position


def a_checkpoint() -> Checkpoint:
    position = Position(phases=[Phase(0, 0, ["all"], [], 3, 1e-4, 1e-3, 1.0, 0.01)])
    position.tally = 3.0
    position.finish_step(2.0, 4, 0.5)
    position.finish_epoch(0.1, {"loss": 0.25, "accuracy": 0.5, "macro_f1": 0.4}, 1.0, "accuracy")
    position.tally = 1.0
    position.finish_step(1.0, 4, 0.25)
    return Checkpoint(position, {"w": torch.tensor([1.5])}, {"w": {"momentum_buffer": torch.tensor([0.5])}}, "abc")


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    saved = a_checkpoint()
    save_checkpoint(tmp_path / "last.pt", saved)
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert loaded.position == saved.position
    assert loaded.plan_digest == "abc"
    assert torch.equal(loaded.tensors["w"], saved.tensors["w"])
    assert torch.equal(loaded.optimizer["w"]["momentum_buffer"], saved.optimizer["w"]["momentum_buffer"])


def test_a_checkpoint_of_before_loads_without_the_matrices_that_it_held(tmp_path: Path) -> None:
    saved = a_checkpoint()
    save_checkpoint(tmp_path / "new.pt", saved)
    content = torch.load(tmp_path / "new.pt", weights_only=True)
    (epoch,) = content["position"]["history"]
    epoch["val"] |= {
        "classes": ({"name": "a", "precision": 1.0, "recall": 0.5, "f1": 0.6, "support": 2},),
        "confusion": ((1, 1), (0, 0)),
    }
    train = epoch.pop("train")
    epoch |= {"train_loss": train["loss"], "train_accuracy": train["accuracy"]}
    content["position"]["hits"] = int(content["position"].pop("tally"))
    torch.save({**content, "format": 2}, tmp_path / "last.pt")
    assert load_checkpoint(tmp_path / "last.pt").position == saved.position


def test_a_checkpoint_of_another_format_is_named_with_those_that_can_be_read(tmp_path: Path) -> None:
    torch.save({"format": 7}, tmp_path / "last.pt")
    with pytest.raises(FtError, match=r"last\.pt has checkpoint format 7; this ft reads 2 to 6"):
        load_checkpoint(tmp_path / "last.pt")


def test_an_epoch_on_record_is_the_mean_over_its_images() -> None:
    position = a_checkpoint().position
    record = position.history[0]
    assert (record.train, record.seconds) == ({"loss": 2.0, "accuracy": 0.75}, 1.5)
    assert (position.epoch, position.step, position.seen) == (1, 1, 4)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(FtError, match=r"last\.pt is no checkpoint that can be read.*start another run\Z"):
        load_checkpoint(tmp_path / "last.pt")


def test_a_checkpoint_that_would_run_code_runs_none(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "ran"),)

    torch.save({"format": Evil()}, tmp_path / "last.pt")
    with pytest.raises(FtError):
        load_checkpoint(tmp_path / "last.pt")
    assert not (tmp_path / "ran").exists()


def test_what_moves_is_what_trains_and_buffers_outside_frozen_modules() -> None:
    names = moving_tensors(Small(), ["scale", "stem.0.weight", "stem.1.weight", "stem.1.bias"], ["stem"])
    assert "layer1.1.running_mean" in names
    assert not any(name.startswith(("stem.", "scale")) for name in names)


def test_tied_tensors_are_written_for_each_name(tmp_path: Path) -> None:
    tensor = torch.arange(4.0)
    save_tensors(tmp_path / "m.safetensors", {"a": tensor, "b": tensor.t()})
    loaded = load_tensors(tmp_path / "m.safetensors")
    assert torch.equal(loaded["a"], tensor)
    assert torch.equal(loaded["b"], tensor)


def test_a_broken_safetensors_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(FtError, match=r"cannot read .*m\.safetensors"):
        load_tensors(tmp_path / "m.safetensors")
