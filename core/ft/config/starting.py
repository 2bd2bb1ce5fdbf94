"""Lays the run that a config starts from under it: its backbone, its task, its head, and how it saw images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ft.config.files import read_tree
from ft.config.merging import Typed, leaves, merge
from ft.config.run_folders import check_there, folder_meant
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.settings import validate
from ft.extension.unpackaged import names_code
from ft.text.names import typed as as_typed

KEY = "from_run"
STARTS = ("backbone", KEY)
"""Keys of which one says what a run begins with."""
GROW, KEEP = "grow", "keep"
"""In place of a head: that of the run, with rows for classes that it does not know, or as it is."""
_LAID = ("backbone", "task", "head")
_IMAGES = ("size", "fit", "range")


def lay_run_under(content: Mapping[str, Any], typed: Sequence[Typed]) -> tuple[Mapping[str, Any], list[Typed]]:
    """Lay what the run that is named to start from was under `content`, the config, and under what was `typed`.

    The head is the run's unless one is named, which is then a new one; "grow" is the run's with rows for more classes.
    The config of a run that has begun says all of this itself. Raises FtError where there is no such run, for another
    backbone than its own, for other weights, and for another task with its head.
    """
    named = merge(Config, {KEY: content.get(KEY)}, [each for each in typed if each.path[0] == KEY])[KEY]
    decided = isinstance(named, Mapping) and named.get("head") is not None and "run" in named
    if named is None:
        if _head_said(content, typed) == GROW:
            raise FtError("--head grow lets the head of a run learn more classes: say which run, with --from RUN")
        return content, list(typed)
    if decided and not any(each.path[0] in (KEY, *_LAID, "weights") for each in typed):
        return content, list(typed)
    if decided:  # what it says of these was the run's, unless the head is its own
        own = named["head"] == "new" and _head_said({}, typed) in (None, "")
        left = {*_LAID, KEY} - ({"head"} if own else set())
        content = {key: value for key, value in content.items() if key not in left}
        named = {"run": named["run"]}
    origin = validate(Config, {"backbone": "any", KEY: named}, "").from_run
    assert origin is not None
    return _laid(origin.run, content, typed)


def _laid(asked: str, content: Mapping[str, Any], typed: Sequence[Typed]) -> tuple[Mapping[str, Any], list[Typed]]:
    folder = folder_meant(Path(os.path.expanduser(asked)))
    run, named = _config_of(folder), _head_said(content, typed)
    head = {None: KEEP, "": KEEP, KEEP: KEEP, GROW: GROW}.get(named, "new")
    under = run.model_dump(mode="json", include={*(_LAID if head != "new" else _LAID[:-1]), "prefer"})
    images = run.images.model_dump(mode="json", include=set(_IMAGES))
    under["images"] = {key: value for key, value in images.items() if value is not None}
    said = [Typed(path, value, ".".join(path)) for path, value in leaves(Config, content) if path != (KEY,)]
    said, over = ([e for e in map(_settings_alone, some) if e and e.path[0] != KEY] for some in (said, typed))
    tree = merge(Config, merge(Config, under, said), over)
    _check(validate(Config, tree, ""), run, head, folder, {each.path[0] for each in (*said, *over)})
    laid = {key: tree[key] for key in _LAID if key in tree}
    rest = [each for each in over if each.path[0] not in _LAID]
    return {**merge(Config, under, said), **laid, KEY: {"run": os.path.abspath(folder), "head": head}}, rest


def _settings_alone(each: Typed) -> Typed | None:
    """The same without a word that stands in place of a head; None where nothing is left."""
    if each.path[0] != "head" or each.path[1:] not in ((), ("use",)):
        return each
    said = each.value if isinstance(each.value, Mapping) else {"use": each.value}
    if said.get("use") not in (GROW, KEEP):
        return each
    left = {key: value for key, value in said.items() if key != "use"}
    return replace(each, value=left) if left else None


def _head_said(content: Mapping[str, Any], typed: Sequence[Typed]) -> str | None:
    """The head that is named; None where none is, and "" where only settings are."""
    every = [*([content["head"]] if "head" in content else []), *(e.value for e in typed if e.path == ("head",))]
    every += [e.value for e in typed if e.path == ("head", "use")]
    if not every:
        return "" if any(each.path[0] == "head" for each in typed) else None
    return str(every[-1].get("use", "") if isinstance(every[-1], Mapping) else every[-1])


def _config_of(folder: Path) -> Config:
    """The config of a run, read as any is. Raises FtError where there is none."""
    check_there(folder)
    if not (folder / "config.yaml").is_file():
        raise FtError(f"{folder} is no run: it holds no config.yaml; --from takes the folder of a finished run")
    return validate(Config, read_tree(folder / "config.yaml"), "")


def _check(config: Config, run: Config, head: str, folder: Path, said: set[str]) -> None:
    """Raise FtError for what cannot be another than the run's."""
    if config.backbone != run.backbone:
        raise FtError(
            f"--from {folder} starts from the weights of {run.backbone}, which fit no {config.backbone}; leave out "
            f"--backbone, or train {config.backbone.use} without --from"
        )
    if config.task != run.task and head != "new":
        raise FtError(
            f"--from {folder} starts with the head of a run for --task {run.task}, and it is to be {config.task}; "
            f"leave out --task, or name a head, which is then a new one: --head {run.head.use}"
        )
    if config.weights != Config.model_fields["weights"].default:
        raise FtError(f"--from {folder} starts from the weights of that run; leave out --weights, or --from")
    if head != "new" and config.head != run.head:
        raise FtError(
            f"the head goes on as it was in {folder}: {run.head}; leave out its settings, or name a new head: --head "
            f"{run.head.use}"
        )
    if head == GROW and run.head.use == KEEP:
        raise FtError(f"{folder} kept the pretrained classifier, which does not grow; name a new head: --head linear")
    if "data" not in said:
        raise FtError(f"which images? Write --data PATH; those of {folder} were --data {run.data.use}")
    for key in _LAID:
        use = getattr(config, key).use
        if names_code(use) and key not in said:
            again = as_typed(f"--{key}", use)
            raise FtError(f"{folder} names the code '{use}', which would be run; if you trust it, say so: {again}")
