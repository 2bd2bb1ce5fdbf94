"""Frozen means frozen: strategies decide which parameters; only this file applies what they decided, and proves it."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch import nn

from ft.config.schema import ComponentConfig
from ft.data.examples import Examples
from ft.errors import FtError, nearest
from ft.extension.extensions import FreezeStrategy
from ft.extension.installed import Component, Plugins, implementation, read_settings
from ft.extension.records import Backbone
from ft.extension.references import parse_reference
from ft.model.adapted import adapter_names
from ft.text.counting import number_of


@dataclass(frozen=True)
class FrozenChoice:
    """What is frozen: parameter names, as `named_parameters()` gives them.

    `rules` tells for every parameter that was frozen, or frozen and taken back, the reference that decided it last.
    `selected` holds what rules that looked at images selected, so that a run that goes on need not look again.
    """

    names: frozenset[str]
    rules: Mapping[str, str]
    warnings: tuple[str, ...]
    selected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def needs_data(rule: ComponentConfig, plugins: Plugins) -> bool:
    """Whether a rule looks at images, which takes weights that have values. Raises FtError for no strategy."""
    return _record(rule, plugins).needs_data


def _record(rule: ComponentConfig, plugins: Plugins) -> FreezeStrategy:
    record: FreezeStrategy = plugins.get("freeze", parse_reference(rule.use)).record
    return record


def choose_frozen(
    freeze: Sequence[ComponentConfig],
    train: Sequence[ComponentConfig],
    backbone: Backbone,
    plugins: Plugins,
    examples: Examples | None = None,
    selected_before: Mapping[str, Collection[str]] | None = None,
) -> FrozenChoice:
    """Decide what is frozen: every rule of `freeze` adds, then every rule of `train` takes away.

    Rules that need data look at `examples`, unless `selected_before` says what they selected when the run began.
    The head always trains. Raises FtError for a rule that selects nothing, or nothing that was frozen, and for
    tensors frozen under one name and trainable under another.
    """
    frozen: set[str] = set()
    rules: dict[str, str] = {}
    warnings: list[str] = []
    looked: dict[str, tuple[str, ...]] = {}

    def select(rule: ComponentConfig, where: str) -> frozenset[str]:
        if not needs_data(rule, plugins):
            return select_parameters(rule, where, backbone, plugins)
        said = rule.model_dump(mode="json")
        key = said if isinstance(said, str) else json.dumps(said, sort_keys=True)
        before = (selected_before or {}).get(key)
        chosen = select_parameters(rule, where, backbone, plugins, examples) if before is None else frozenset(before)
        looked[key] = tuple(sorted(chosen))
        return chosen

    for rule in freeze:
        selected = select(rule, "--freeze")
        if _record(rule, plugins).optional:
            if not selected and len(freeze) == 1:
                warnings.append(f"--freeze {rule.use} freezes nothing: this network lacks what it freezes")
        elif selected <= frozen and (selected or len(freeze) > 1):
            warnings.append(f"--freeze {rule.use} adds nothing to what the other rules freeze; leave it out")
        frozen |= selected
        rules |= dict.fromkeys(selected, rule.use)
    for rule in train:
        taken = select(rule, "--train") & frozen
        if not taken:
            raise FtError(f"--train {rule.use} takes nothing back: nothing that it selects was frozen; leave it out")
        frozen -= taken
        rules |= dict.fromkeys(taken, rule.use)
    _check_shared(backbone.module.named_parameters(remove_duplicate=False), frozen)
    own = {name for name, _ in backbone.module.named_parameters()}
    meant = any(_record(rule, plugins).optional for rule in freeze)  # by a rule of just these layers
    if frozen and not meant and all(_has_statistics(backbone.module, name) for name in frozen):
        warnings.append(
            "only normalisation layers are frozen: their running statistics stop moving, but the layers before them "
            "train on, so the features drift away from these statistics"
        )
    kept = {name: rule for name, rule in rules.items() if name in own}
    return FrozenChoice(frozenset(frozen & own), kept, tuple(warnings), looked)


def select_parameters(
    rule: ComponentConfig, where: str, backbone: Backbone, plugins: Plugins, examples: Examples | None = None
) -> frozenset[str]:
    """Return the names outside the head that a freezing-strategy reference selects; `where` says in errors who asks.

    Raises FtError when that is nothing (unless the strategy allows it), only the head, or no names of parameters, and
    for a strategy that needs data where there are no `examples`.
    """
    reference = parse_reference(rule.use)
    component = plugins.get("freeze", reference)
    settings = read_settings(component, rule.settings, where.lstrip("-"))
    select, given = implementation(component, "select"), [backbone, reference.argument, settings]
    if component.record.needs_data:
        if examples is None:
            raise FtError(f"{where} {rule.use} looks at images, which only --freeze and --train give it")
        backbone.module.eval()
        given += [examples, *([examples.loss()] if "loss" in inspect.signature(select).parameters else [])]
    selected = _checked(select(*given), component, backbone)
    outside = frozenset(name for name in selected if not backbone.in_head(name))
    if selected and not outside:
        raise FtError(f"{where} {rule.use} selects only the head, which always trains: {_some(selected)}")
    if not outside and not component.record.allows_empty and not component.record.optional:
        names = backbone.parameter_names()
        near = nearest(reference.argument or "", [*backbone.module_paths(), *names], most=1)
        example = next((n for n in backbone.parameters_under(*near)), names[0] if names else "")
        raise FtError(f"{where} {rule.use} selects no parameter of {backbone}; names look like '{example}'")
    return outside


def trainable_names(module: nn.Module, frozen: Collection[str]) -> tuple[str, ...]:
    """Names of the parameters that train, in the module's order."""
    return tuple(name for name, _ in module.named_parameters() if name not in frozen)


def frozen_modules(module: nn.Module, frozen: Collection[str], head_paths: Sequence[str]) -> tuple[str, ...]:
    """Paths of the topmost modules that have parameters, all of them frozen, and contain no head; then those of modules
    that have no parameters but keep statistics, and lie in none of these, but next to one.

    They stay in eval mode with all that is inside them, so a Dropout or a BatchNorm without parameters follows the
    nearest frozen module around it. A BatchNorm without parameters that lies in none follows the parameters registered
    before it, or after it where there are none before. A Dropout in no frozen module, as in a partly frozen classifier,
    is not frozen.
    """
    still = {id(parameter) for name, parameter in module.named_parameters(remove_duplicate=False) if name in frozen}

    def topmost(path: str, part: nn.Module) -> Iterator[str]:
        parameters = list(part.parameters())
        holds_head = any(_inside(head, (path,)) for head in head_paths)
        if parameters and not holds_head and all(id(parameter) in still for parameter in parameters):
            yield path
            return
        for name, child in part.named_children():
            yield from topmost(f"{path}.{name}".lstrip("."), child)

    paths = tuple(topmost("", module))
    return (*paths, *_statistics_beside(module, still, paths, head_paths))


def _statistics_beside(
    module: nn.Module, still: Collection[int], paths: Sequence[str], head_paths: Sequence[str]
) -> list[str]:
    """Paths of the topmost modules outside `paths` and heads that have buffers, no parameters, and frozen parameters
    (by their ids, `still`) before them, or after them where there are none before."""
    found, first = list[str](), list[str]()
    frozen_before: bool | None = None
    adapters = [
        name.removesuffix(".weight") for name in adapter_names(module)
    ]  # beside which a layer is no less frozen
    for path, part in module.named_modules():
        if _inside(path, (*head_paths, *adapters)):
            continue
        if own := list(part.parameters(recurse=False)):
            if frozen_before is None and all(id(parameter) in still for parameter in own):
                found += first
            frozen_before = all(id(parameter) in still for parameter in own)
        elif _has_buffers_only(part) and not _inside(path, (*paths, *found, *first)):
            if frozen_before is None:
                first.append(path)
            elif frozen_before:
                found.append(path)
    return found


def apply_frozen(module: nn.Module, frozen: Collection[str], frozen_modules: Sequence[str]) -> None:
    """Set `requires_grad`, gradients and mode. Nothing else in ft touches any of them but through this file.

    A frozen parameter's gradient becomes None, as momentum and weight decay move whatever has one. Raises FtError for a
    name that the module lacks, and for memory that a frozen and a trainable parameter share.
    """
    parameters = dict(module.named_parameters())
    missing = set(frozen) - set(parameters)
    if missing:
        raise FtError(
            f"{number_of(len(missing), 'parameter')} that should stay frozen cannot be found: {_some(missing)}"
        )
    _check_shared(parameters.items(), frozen)
    for name, parameter in parameters.items():
        parameter.requires_grad_(name not in frozen)
        if name in frozen:
            parameter.grad = None
    set_train_mode(module, frozen_modules)


def set_train_mode(module: nn.Module, frozen_modules: Sequence[str]) -> None:
    """Put `module` in train mode and its frozen modules in eval mode; to be called instead of `module.train()`."""
    module.train()
    for path in frozen_modules:
        module.get_submodule(path).eval()


def frozen_digest(module: nn.Module, frozen: Collection[str], frozen_modules: Sequence[str]) -> str:
    """The sha256 over all frozen parameters and all buffers of frozen modules: names, types, shapes, values.

    It is the same on every device and in every memory format. On the CPU it copies nothing that is contiguous.
    """
    tensors: dict[str, torch.Tensor] = {n: p for n, p in module.named_parameters() if n in frozen}
    for path in frozen_modules:
        tensors |= dict(module.get_submodule(path).named_buffers(path))
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        data = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {data.dtype} {tuple(data.shape)}\n".encode())
        digest.update(data.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _checked(returned: Any, component: Component, backbone: Backbone) -> set[str]:
    """What a strategy returned, as a set of names. Raises FtError naming the distribution when it is none."""
    if isinstance(returned, str) or not isinstance(returned, Iterable):
        raise FtError(f"{component.label} returned {returned!r}; it has to return a set of parameter names")
    names = set(returned)
    unknown = names - {name for name, _ in backbone.module.named_parameters(remove_duplicate=False)}
    if unknown:
        counted = number_of(len(unknown), "name that is no parameter", "names that are no parameters")
        raise FtError(f"{component.label} returned {counted} of {backbone}: {_some(unknown)}")
    return names


def _check_shared(parameters: Iterable[tuple[str, nn.Parameter]], frozen: Collection[str]) -> None:
    """Raise FtError when a frozen and a trainable name stand for the same memory."""
    by_storage: defaultdict[int, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    for name, parameter in parameters:
        storage = parameter.untyped_storage().data_ptr() or id(parameter)  # the meta device has no addresses
        span = sum((size - 1) * stride for size, stride in zip(parameter.shape, parameter.stride(), strict=True)) + 1
        first = parameter.storage_offset() * parameter.itemsize
        by_storage[storage][name in frozen].append((name, first, first + span * parameter.itemsize))
    for trainable, still in by_storage.values():
        for (name, first, end), (other, other_first, other_end) in product(still, trainable):
            if first < other_end and other_first < end:
                raise FtError(
                    f"'{name}' would be frozen and '{other}' trained, but they share one tensor; "
                    f"freeze both, or take '{name}' back with --train regex:{name}"
                )


def _has_buffers_only(part: nn.Module) -> bool:
    return next(part.buffers(), None) is not None and next(part.parameters(), None) is None


def _inside(path: str, outer: Sequence[str]) -> bool:
    return any(not each or path == each or path.startswith(each + ".") for each in outer)


def _has_statistics(module: nn.Module, parameter: str) -> bool:
    owner = module.get_submodule(parameter.rpartition(".")[0])
    return any(name == "running_mean" for name, _ in owner.named_buffers(recurse=False))


def _some(names: Iterable[Any]) -> str:
    ordered = sorted(str(name) for name in names)
    return ", ".join(ordered[:3]) + (", ..." if len(ordered) > 3 else "")
