"""The config of a trial: what all trials have in common, and the values of its own over it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ft.config.keywords import BY_NAME
from ft.config.loading import load_config, read_set
from ft.config.schema import Config
from ft.cross_validation import asks_for_all_folds
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.unpackaged import names_code
from ft.tuning.keys import fixed_twice
from ft.tuning.records import Asked, SweepConfig
from ft.tuning.space import Choices, Over, space_of


def asked_of(
    wanted: SweepConfig, content: Mapping[str, Any], sets: tuple[str, ...], flags: Mapping[str, Any]
) -> tuple[Asked, tuple[Over, ...]]:
    """What is asked for, and the space. Raises FtError for what is swept over and fixed by a flag or --set, too."""
    space = space_of(wanted.over)
    paths = {each.path: each.name for each in space}
    names = {key: f"--{name.replace('_', '-')}" for name, key in BY_NAME.items()}
    fixed_twice(paths, [(tuple(key.split(".")), names.get(key, key)) for key in flags])
    fixed_twice(paths, [(read_set(text).path, f"--set {text}") for text in sets])
    if "run_dir" in content:
        raise FtError("run_dir is for one run; the folder of a sweep is given with --run-dir")
    over, tree, fixed = json.loads(json.dumps([wanted.over, content, dict(flags)], default=str))
    how = {"sampler": component(wanted.sampler or "tpe"), "pruner": component(wanted.pruner or "median")}
    return Asked(over=over, content=tree, sets=sets, flags=fixed, **how), space


def component(named: str | Mapping[str, Any]) -> dict[str, Any]:
    """A name with its settings, as `{use: NAME, ...}`. Raises FtError for a mapping without a name."""
    if isinstance(named, str):
        return {"use": named}
    if not isinstance(named.get("use"), str):
        raise FtError(f"{dict(named)} names nobody; write a name, or a mapping as {{use: percentile, percentile: 30}}")
    return dict(named)


def trial_config(asked: Asked, space: tuple[Over, ...], chosen: Mapping[str, Any], plugins: Plugins) -> Config:
    """The config of a trial with what was `chosen` for each key, by its name. Raises FtError for what cannot be."""
    values = {".".join(each.path): each.value(chosen[each.name]) for each in space}
    return load_config(asked.content, asked.sets, {**asked.flags, **values}, plugins)


def first_config(asked: Asked, space: tuple[Over, ...], plugins: Plugins) -> Config:
    """The config of a trial with the first value of every key, as an example of them all. Raises FtError."""
    chosen = {each.name: each.texts[0] if isinstance(each, Choices) else each.low for each in space}
    config = trial_config(asked, space, chosen, plugins)
    if asks_for_all_folds(config):
        raise FtError(f"a trial is one run, and these are {config.split.folds} folds; add --fold 1")
    return config


def code_named(asked: Asked) -> tuple[str, ...]:
    """Every reference to code by file or module that trials may follow."""
    return tuple(dict.fromkeys(text for text in _texts(asked.model_dump(mode="json")) if names_code(text)))


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for each in tree.values():
            yield from _texts(each)
    elif isinstance(tree, list | tuple):
        for each in tree:
            yield from _texts(each)
