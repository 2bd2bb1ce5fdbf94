"""Fills the config: defaults, then the run that it starts from, a recipe, a file, `--set`, and flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ft.config.files import as_tree, read_tree
from ft.config.merging import Typed
from ft.config.phases import check_heard
from ft.config.recipes import lay_under
from ft.config.schema import Config
from ft.config.starting import lay_run_under
from ft.config.training import idle_with
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.kinds import KINDS
from ft.extension.references import parse_reference
from ft.extension.settings import validate
from ft.text.documents import DEEPEST

_BY_FLAG = {key.flag.strip("-"): key.path for kind in KINDS.values() for key in kind.keys if key.flag}
"""Of components, the flag's name says in --set what the key says: optimizer.momentum is training.optimizer.momentum."""

_OF_TRAINING = ("training", "phases", "freeze", "train", "groups")


def load_config(
    given: Path | Mapping[str, Any] | None = None,
    sets: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    plugins: Plugins | None = None,
) -> Config:
    """Merge defaults, the run and the recipe that the rest names, what is `given` (a file in YAML or JSON, or its
    content), `key.path=value` texts and `flags`, the later winning.

    Only with `plugins` is a recipe found, and known which phase takes steps. Raises FtError.
    """
    content = read_tree(given) if isinstance(given, Path) else given or {}
    typed = [*map(read_set, sets), *(Typed(tuple(key.split(".")), value, key) for key, value in (flags or {}).items())]
    content, typed = lay_run_under(content, typed)
    laid = lay_under(_without_ended(_without_derived(content, typed), typed), typed, plugins)
    try:
        config = validate(Config, laid.tree, "")
        check_heard(config, laid.heard, _idle(plugins))
        return config
    except FtError as error:
        raise FtError(f"{error}\n(the config is {given})" if isinstance(given, Path) else str(error)) from None


def _idle(plugins: Plugins | None) -> Callable[[Config], tuple[str, ...]]:
    """What tells which keys of `training` have no effect with the optimizer of a config; none, where plugins are not
    known."""

    def idle(config: Config) -> tuple[str, ...]:
        if plugins is None:
            return ()
        return idle_with(plugins.get("optimizer", parse_reference(config.training.optimizer.use)).record)

    return idle


def read_set(text: str) -> Typed:
    """What `--set text` asks for. Raises FtError when it is no key=value."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise FtError(f"--set {text}: write --set key=value, as in --set training.epochs=5")
    if key.count(".") >= DEEPEST:
        raise FtError(f"--set {key[:40]}...: no key of a config has {key.count('.')} dots")
    first, *rest = key.strip().split(".")
    path = (*_BY_FLAG.get(first, first).split("."), *rest)
    return Typed(path, as_tree(value, f"--set {text}"), f"--set {text}")


def _without_derived(tree: Mapping[str, Any], typed: Iterable[Typed]) -> Mapping[str, Any]:
    """Leave out what a run's config says followed from the rest, where something else is asked for over it: else a new
    --optimizer or --lr would not reach it."""
    training = tree.get("training")
    if not isinstance(training, Mapping) or all(each.path[0] != "training" for each in typed):
        return tree
    followed = training.get("derived")
    gone = {"derived", *followed} if isinstance(followed, list | tuple) else set()
    return {**tree, "training": {key: value for key, value in training.items() if key not in gone}}


def _without_ended(tree: Mapping[str, Any], typed: Iterable[Typed]) -> Mapping[str, Any]:
    """Leave out after which epochs phases ended for lack of time, where something else is asked of training."""
    budget = tree.get("time_budget")
    if not isinstance(budget, Mapping) or not any(each.path[0] in _OF_TRAINING for each in typed):
        return tree
    return {**tree, "time_budget": {key: value for key, value in budget.items() if key != "ended"}}
