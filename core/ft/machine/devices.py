"""Which device and which arithmetic a run uses."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ft.config.schema import MachineConfig
from ft.errors import FtError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: Mapping[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TENSOR_CORES = (7, 0)
"""The compute capability from which NVIDIA's GPUs multiply matrices faster in float16."""


@dataclass(frozen=True)
class Machine:
    """Where tensors live and how matrix products are computed.

    `channels_last` keeps images in NHWC order in memory, which convolutions run faster on.
    """

    device: str
    precision: Precision
    channels_last: bool

    def autocast(self) -> AbstractContextManager[Any]:
        """A context in which matrix products and convolutions use bfloat16 or float16, if this machine is to."""
        return nullcontext() if self.precision == "fp32" else torch.autocast(self.kind, dtype=self.dtype)

    def autocast_bf16(self) -> AbstractContextManager[Any]:
        """A context in which they use bfloat16, whatever the precision of the run."""
        return torch.autocast(self.kind, dtype=torch.bfloat16)

    @property
    def dtype(self) -> torch.dtype:
        """The type that matrix products are computed in."""
        return DTYPES[self.precision]

    @property
    def kind(self) -> str:
        """The device without its number."""
        return torch.device(self.device).type

    def place(self, module: torch.nn.Module) -> torch.nn.Module:
        """Move `module` to the device, in the memory layout that its images will have; on the meta device it stays."""
        if not any(parameter.is_meta for parameter in module.parameters()):
            module.to(self.device)
        return module.to(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)

    def describe(self) -> str:
        """The arithmetic, and the memory layout where that is not the usual one."""
        return self.precision + ("" if self.channels_last else ", channels first")

    def wait(self) -> None:
        """Return once the device has done what it was told to do."""
        if self.kind != "cpu":
            getattr(torch, self.kind).synchronize()

    def send(self, images: torch.Tensor) -> torch.Tensor:
        """Move a batch of images [N, 3, S, S] to the device, in the module's layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return images.to(device=self.device, memory_format=layout, non_blocking=True)


def choose_machine(config: MachineConfig) -> Machine:
    """The machine that the config asks for; in fp32 where it leaves the precision open and nothing was measured yet.

    Raises FtError for what this machine lacks.
    """
    precision = config.precision if config.precision != "auto" else config.resolved or "fp32"
    return Machine(_device(config.device), precision, config.channels_last)


def has_fast_bf16(device: str) -> bool:
    """Whether bfloat16 is computed in hardware there; elsewhere it is emulated, and slower than float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False


def fast_half(device: str) -> Precision | None:
    """The type of 16 bits that is computed in hardware there: bfloat16, or on a GPU that lacks it float16. None where
    there is neither."""
    if has_fast_bf16(device):
        return "bf16"
    if torch.device(device).type == "cuda" and torch.cuda.get_device_capability(device) >= TENSOR_CORES:
        return "fp16"
    return None


def processor(device: str) -> str:
    """What computes there: the GPU's name, or the instructions that torch uses on the CPU."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.cpu.get_cpu_capability() if kind == "cpu" else platform.machine()


def _device(wanted: str) -> str:
    available = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else available[-1]
    try:
        known = str(torch.device(wanted)) in available or (wanted == "cuda" and torch.cuda.is_available())
    except RuntimeError:
        known = False
    if not known:
        raise FtError(f"there is no device '{wanted}' here; --device can be: auto, {', '.join(available)}")
    return wanted
