"""Reads tensors from weight files, never running what such a file may contain, and loads them into a backbone."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ft.errors import FtError
from ft.extension.records import Backbone
from ft.model.tensor_sets import choose_tensors, some
from ft.text.counting import number_of, with_article
from ft.weights.format import Format, format_of

_COUNTERS = ("n_averaged", "num_updates", "decay", "initted", "step")
"""What averages of a network keep beside its tensors: torch's AveragedModel, and EMA as it is often written."""


@dataclass(frozen=True)
class WeightTensors:
    """The named tensors of a weight file, and what was done to find them in it."""

    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadReport:
    """What was loaded: how many tensors with how many values in all, and what a report should say about it."""

    tensors: int
    values: int
    notes: tuple[str, ...]


def read_tensors(path: Path, key: str | None = None) -> WeightTensors:
    """Read a weight file of any name to the CPU, mapped into memory where its format allows.

    The state dict of a training checkpoint is found under its usual names ("state_dict", "model", ...), or at `key`.
    Raises FtError for a file that is incomplete, holds no tensors, or would have to run code to be read.
    """
    kind = format_of(path)
    if kind == "safetensors":
        from safetensors.torch import load_file

        if key is not None:
            raise FtError(f"{path} is a safetensors file, which holds one set of tensors; leave out weights.key")
        return WeightTensors(load_file(path))
    content = _unpickle(path, kind)
    if not isinstance(content, Mapping):
        raise FtError(f"{path} holds {with_article(type(content).__name__)}, not named tensors (a state dict)")
    tensors, notes = choose_tensors(content, key, path.name)
    return WeightTensors(tensors, tuple(notes))


def load_into(backbone: Backbone, weights: WeightTensors, where: str) -> LoadReport:
    """Copy tensors into the backbone's module. Raises FtError, having changed nothing, when they do not fit.

    Every tensor outside the head must be there in the right shape, and no other may be, except those that
    `backbone.unused_weights` names; BatchNorm's `num_batches_tracked` may be missing, as in old files. In the head
    anything goes, since it is replaced. A prefix on all names ("module.") is taken off. `where` names the file in
    messages.
    """
    expected: dict[str, Tensor] = backbone.module.state_dict()
    prefix = _prefix(weights.tensors, [name for name in expected if not backbone.in_head(name)])
    given = _own_names(weights.tensors, prefix, backbone.rename_weights, where)
    counters = [n for n, t in given.items() if n not in expected and t.numel() == 1 and _last(n) in _COUNTERS]
    given = {n: t for n, t in given.items() if n not in counters}
    unused = [n for n in given if n not in expected and _is_under(n, backbone.unused_weights)]
    body = {n: t for n, t in given.items() if n not in unused and not backbone.in_head(n)}
    if misfit := _misfit(body, expected, backbone):
        raise FtError(f"the weights in {where} do not fit {backbone}: {misfit}")
    head = {n: t for n, t in given.items() if backbone.in_head(n) and n not in unused}
    fitting = {n: t for n, t in head.items() if n in expected and t.shape == expected[n].shape}
    left = [n for n in head if n not in fitting] + [n for n in expected if backbone.in_head(n) and n not in head]
    loaded = {**body, **fitting}
    _check_finite(loaded, where)
    put_tensors(backbone.module, loaded)
    notes = [
        *weights.notes,
        *([f"the prefix '{prefix}' was taken off all tensor names"] if prefix else []),
        *([f"the head in the file does not fit and was not loaded: {some(left)}"] if left else []),
        *(
            [f"{number_of(len(unused), 'tensor')} left out that the backbone does without: {some(unused)}"]
            if unused
            else []
        ),
        *([f"counters of an averaged network were left out: {some(counters)}"] if counters else []),
        *_dtype_notes(loaded, expected),
    ]
    return LoadReport(len(loaded), sum(t.numel() for t in loaded.values()), tuple(notes))


def put_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Copy tensors into `module` by name; return the names that it does not have. Raises RuntimeError for a shape.

    Modules may ask in which version of theirs a state dict was saved (torchvision's MNASNet insists); names and shapes
    being the module's own, it is the module's own version.
    """
    named = OrderedDict(tensors)
    named._metadata = module.state_dict()._metadata  # type: ignore[attr-defined]
    return list(module.load_state_dict(named, strict=False).unexpected_keys)


def _unpickle(path: Path, kind: Format) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=kind == "zip")
    except Exception as error:  # a pickle's content decides what reading it raises, so all of it is the file's fault
        if code := re.search(r"GLOBAL (\S+)", str(error)):
            raise FtError(
                f"{path} holds more than tensors: reading it would run {code[1]}. ft runs nothing from a weight file. "
                "If you trust it, save its tensors alone, where it was made: torch.save(model.state_dict(), 'new.pth')"
            ) from None
        raise FtError(
            f"{path} cannot be read as weights, being damaged or not written by torch.save: {_why(error)}"
        ) from error


def _why(error: Exception) -> str:
    """The first line of what torch says, but for advice to read a file in which code could be."""
    said = str(error).rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0]
    return said if said and "weights_only" not in said and "torch.load" not in said else type(error).__name__


def _check_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise FtError when a tensor holds NaN or infinity, which would otherwise show as a loss that is no number."""
    lost = [name for name, tensor in tensors.items() if not _is_finite(tensor)]
    if lost:
        counts = [f"{n} ({int((~tensors[n].float().isfinite()).sum())} of {tensors[n].numel()} values)" for n in lost]
        raise FtError(
            f"{len(lost)} of {len(tensors)} tensors in {where} hold NaN or infinity: {some(counts)}. The network that "
            "was saved had diverged, or the file is damaged; take an earlier checkpoint"
        )


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    values = tensor.float() if tensor.element_size() == 1 else tensor  # numbers of 8 bits cannot be compared
    return bool(torch.stack(torch.aminmax(values)).isfinite().all())  # NaN is the least and the largest of any values


def _prefix(given: Iterable[str], expected: list[str]) -> str:
    """Return what stands before the expected names in the file ("module."), or "" when most stand there plainly."""
    names = set(given)
    prefixes = {n.removesuffix(e) for e in expected[:3] for n in names if n.endswith("." + e)}
    fits = Counter({p: sum(p + e in names for e in expected) for p in ("", *sorted(prefixes))})
    return max(fits, key=lambda p: fits[p], default="")


def _own_names(
    tensors: Mapping[str, Tensor], prefix: str, rename: Callable[[str], str] | None, where: str
) -> dict[str, Tensor]:
    given: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        own = name.removeprefix(prefix)
        own = rename(own) if rename else own
        if own in given:
            raise FtError(f"{where} holds '{own}' twice, under an older name too: {name}")
        given[own] = tensor
    return given


def _is_under(name: str, prefixes: Iterable[str]) -> bool:
    return any(name == p or name.startswith(p.rstrip(".") + ".") for p in prefixes)


def _misfit(body: Mapping[str, Tensor], expected: Mapping[str, Tensor], backbone: Backbone) -> str:
    """In what tensors outside the head, those in a file, differ from the expected ones; "" where they fit."""
    wanted = [n for n in expected if not backbone.in_head(n)]
    missing = [n for n in wanted if n not in body and not n.endswith(".num_batches_tracked")]
    extra = [n for n in body if n not in expected]
    reshaped = [n for n in body if n in expected and body[n].shape != expected[n].shape]
    if not (missing or extra or reshaped):
        return ""
    fitting = len(body) - len(extra) - len(reshaped)
    lines = [f"{fitting} of its {number_of(len(wanted), 'tensor')} {'is' if fitting == 1 else 'are'} there"]
    if missing:
        lines.append(f"  missing {len(missing)}: " + some([f"{n} {_shape(expected[n])}" for n in missing]))
    if extra:
        lines.append(f"  unknown {len(extra)}: " + some([f"{n} {_shape(body[n])}" for n in extra]))
    if reshaped:
        shapes = [f"{n} {_shape(body[n])}, not {_shape(expected[n])}" for n in reshaped]
        lines.append(f"  of another shape {len(reshaped)}: " + some(shapes, "; "))
    if _tops(body) != _tops(wanted):
        lines.append(f"Names in the file begin with {_tops(body)}; those of {backbone} with {_tops(wanted)}.")
    lines.append("Choose the --backbone that these weights were made for, or other --weights")
    return "\n".join(lines)


def _dtype_notes(loaded: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    kinds = Counter(str(t.dtype).removeprefix("torch.") for n, t in loaded.items() if t.dtype != expected[n].dtype)
    return [
        f"{number_of(count, 'tensor was', 'tensors were')} converted from {dtype}"
        for dtype, count in sorted(kinds.items())
    ]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _tops(names: Iterable[str]) -> str:
    return some(dict.fromkeys(n.partition(".")[0] for n in names)) or "nothing"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
