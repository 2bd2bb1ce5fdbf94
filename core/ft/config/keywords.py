"""The config as Python says it: keywords named as its keys or as the flags, over a mapping or a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import BaseModel

from ft.config.flags import FLAGS, ON_RESUME, changes_on_resume, variable
from ft.config.loading import load_config
from ft.config.merging import Typed, merge
from ft.config.recipes import said_by
from ft.config.schema import Config
from ft.config.starting import STARTS
from ft.errors import FtError, did_you_mean, nearest
from ft.extension.installed import Plugins
from ft.text.counting import with_article

Where = str | os.PathLike[str]
Component = Where | Mapping[str, Any]
"""A reference, as "mlp", or a mapping, as {"use": "mlp", "hidden": [256]}."""
Source = Where | Mapping[str, Any]
"""A config: the path of its file, or what such a file holds."""


class Keywords(TypedDict, total=False):
    """The keywords of `ft.plan` and `ft.finetune`. docs/configuration.md tells what each means; a test holds them, and
    their types, to the config and its flags."""

    recipe: Where | None
    from_run: Where | Mapping[str, Any] | None
    backbone: Component
    weights: Component
    head: Component
    freeze: Component | Sequence[Component]
    train: Component | Sequence[Component]
    data: Component
    lora: Mapping[str, Any] | int | None
    task: Component
    trackers: Component | Sequence[Component]
    split: Mapping[str, Any]
    images: Mapping[str, Any]
    training: Mapping[str, Any]
    groups: Sequence[Mapping[str, Any]]
    phases: Sequence[Mapping[str, Any]]
    time_budget: str | None
    cache: Mapping[str, Any] | Literal["auto", "off", "exact", "close", "fast"]
    machine: Mapping[str, Any]
    report: Mapping[str, Any]
    seed: int
    run_dir: Where | None
    prefer: Mapping[str, str]
    weight_source: str | Sequence[str]
    tracker: Component | Sequence[Component]
    epochs: int | None
    batch_size: int
    optimizer: Component
    lr: float | None
    head_lr: float | None
    lr_decay: float
    weight_decay: float | None
    warmup_epochs: float
    label_smoothing: float
    mixup: float
    cutmix: float
    manifold_mixup: float
    ema: float | None
    swa: int | None
    soup: int | None
    class_weights: Literal["none", "balanced"]
    clip_norm: float | None
    auto_batch: bool
    patience: int | None
    monitor: str | None
    image_size: int | None
    fit: Literal["crop", "squash", "pad"] | None
    augment: Component
    views: int | Literal["auto", "new"] | None
    bad_images: Literal["fail", "skip"]
    val_fraction: float
    test_fraction: float
    split_group: str | None
    folds: int | None
    fold: int | None
    device: str
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    workers: int | Literal["auto"]
    channels_last: bool
    shard: bool


BY_NAME = {variable(flag): key for flag, key, _, _ in FLAGS}
"""The key of the config that each flag's name sets."""


def config_of(source: Source | None, given: Mapping[str, Any], plugins: Plugins) -> Config:
    """The config that `given`, keywords, laid over `source`, amount to. Raises FtError."""
    keys = keys_of(given)
    if source is None and keys.keys().isdisjoint(STARTS) and not said_by(keys.get("recipe"), plugins).get("backbone"):
        raise FtError('which backbone? Write backbone="PROVIDER:MODEL", as in "torchvision:resnet18" (see ft models)')
    if not isinstance(source, str | os.PathLike):
        return load_config(tree_of(source or {}), (), keys, plugins)
    path = Path(source)
    if not path.exists() and ":" in str(source):
        raise FtError(f"there is no config {path}; if that is what is to be trained, write backbone={str(source)!r}")
    return load_config(path, (), keys, plugins)


def changes_of(source: Source | None, given: Mapping[str, Any], plugins: Plugins) -> dict[str, Any]:
    """What `given` changes in the config of a run that goes on, by keys. Raises FtError for what may not change."""
    keys = dict(leaf for key, value in keys_of(given).items() for leaf in _leaves(Config, key, value))
    names = {key: name for name, key in BY_NAME.items()}
    allowed = [key for flag, key, _, _ in FLAGS if flag.partition("/")[0] in ON_RESUME]
    others = [names.get(key, key) for key in keys if key not in allowed] + ["the config"] * (source is not None)
    if others:
        raise FtError(
            f"resume= continues a run as it was started; leave out {', '.join(others)}. "
            f"Beside it there may be {', '.join(names[key] for key in allowed)}"
        )
    return changes_on_resume(keys, plugins)


def keys_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of the config with their values, as YAML would hold them. Raises FtError for a keyword that is none, and
    for two that set the same key."""
    keys: dict[str, Any] = {}
    set_by: dict[str, str] = {}
    for name, value in given.items():
        key = _key(name, value)
        keys[key] = _plain(name, value)
        for leaf, _ in _leaves(Config, key, keys[key]):
            if leaf in set_by:
                raise FtError(f"{set_by[leaf]}= and {name}= both set {leaf}; give it once")
            set_by[leaf] = name
    return keys


def _key(name: str, value: Any) -> str:
    """The key that a keyword sets. Of a flag and a section with one name, a mapping means the section."""
    if name in Config.model_fields and (name not in BY_NAME or isinstance(value, Mapping)):
        return name
    if "." in name:
        return name
    if name not in BY_NAME:
        raise FtError(_unknown(name))
    return BY_NAME[name]


def _unknown(name: str) -> str:
    known = sorted({*BY_NAME, *Config.model_fields})
    inside = [f'{key}={{"{name}": ...}}' for key, section in _sections() if name in section.model_fields]
    if inside:
        return f"unknown keyword '{name}'; write {' or '.join(inside)}"
    near = nearest(name, known)
    others = f" Others that are near: {', '.join(near[1:])}." if near[1:] else ""
    return f"unknown keyword '{name}'.{did_you_mean(name, known)}{others} Known: {', '.join(known)}"


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    for key, field in Config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and "use" not in kind.model_fields:
            yield key, kind


def _leaves(model: type[BaseModel], key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The keys that a value sets, with what they are set to: those in a section, one by one."""
    section = dict(_sections()).get(key)
    if section is None or not isinstance(value, Mapping):
        yield key, value
    else:
        yield from ((f"{key}.{name}", each) for name, each in value.items())


def tree_of(source: Any) -> dict[str, Any]:
    """A mapping as a file would say it: flags' names in it are put where they belong."""
    if not isinstance(source, Mapping):
        raise FtError(
            f"a config is a mapping or the path of a file, not {with_article(type(source).__name__)}; give all else "
            "by keyword, as epochs=5"
        )
    keys = keys_of(source)
    return merge(Config, {}, (Typed(tuple(key.split(".")), value, key) for key, value in keys.items()))


def _plain(name: str, value: Any) -> Any:
    """A value as YAML would hold it. Raises FtError for what it cannot hold."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{name}.{key}", each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(name, each) for each in value), key=str)
    for kind in (int, float, str):  # of which numpy's, and enumerations, are subclasses
        if isinstance(value, kind):
            return kind(value)
    if hasattr(value, "tolist"):  # numbers and arrays of numpy and torch
        return value.tolist()
    raise FtError(f"{name}= takes text, numbers, paths, lists and mappings, not {with_article(type(value).__name__)}")
