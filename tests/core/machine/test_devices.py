from __future__ import annotations

import pytest
import torch

from ft.config.schema import MachineConfig
from ft.errors import FtError
from ft.machine.devices import Machine, choose_machine, fast_half


def test_auto_is_fp32_until_something_else_was_found_to_be_faster() -> None:
    assert choose_machine(MachineConfig(device="cpu")).precision == "fp32"
    assert choose_machine(MachineConfig(device="cpu", resolved="bf16")).precision == "bf16"
    assert choose_machine(MachineConfig(device="cpu", precision="fp32", resolved="bf16")).precision == "fp32"


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_precision_decides_the_type_of_matrix_products(precision: str, dtype: torch.dtype) -> None:
    machine = choose_machine(MachineConfig.model_validate({"device": "cpu", "precision": precision}))
    with machine.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_a_machine_is_called_by_its_arithmetic_and_an_unusual_layout() -> None:
    assert Machine("cpu", "bf16", channels_last=True).describe() == "bf16"
    assert Machine("cpu", "fp32", channels_last=False).describe() == "fp32, channels first"


@pytest.mark.parametrize(
    ("bf16", "capability", "expected"),
    [(True, (9, 0), "bf16"), (False, (7, 5), "fp16"), (False, (7, 0), "fp16"), (False, (6, 1), None)],
)
def test_a_gpu_without_bf16_has_fp16_where_it_has_tensor_cores(
    bf16: bool, capability: tuple[int, int], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fast_half("cuda:0") == expected
    assert fast_half("meta") is None


@pytest.mark.parametrize("channels_last", [True, False])
def test_images_and_weights_have_the_same_layout(channels_last: bool) -> None:
    machine = choose_machine(MachineConfig(device="cpu", channels_last=channels_last))
    images = machine.send(torch.zeros(2, 3, 8, 8))
    weight = machine.place(torch.nn.Conv2d(3, 4, 3)).weight
    assert images.is_contiguous(memory_format=torch.channels_last) is channels_last
    assert weight.is_contiguous(memory_format=torch.channels_last) is channels_last


@pytest.mark.parametrize("name", ["cuda:99", "tpu", ""])
def test_a_device_that_is_not_there_is_an_error_that_lists_those_that_are(name: str) -> None:
    with pytest.raises(FtError, match=r"there is no device .*auto, cpu"):
        choose_machine(MachineConfig(device=name))
