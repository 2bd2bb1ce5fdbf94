"""Recipes: parts of a config that packages bring, or a file of one's own, laid under what the user says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft.config.merging import Typed, drop, leaves, merge
from ft.config.recipe import RecipeConfig
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Component, Plugins
from ft.extension.packaged import FILES, packaged_text
from ft.extension.references import parse_reference
from ft.extension.settings import validate
from ft.text.documents import parse_yaml
from ft.text.reading import read_text

USUAL = "default"
"""The recipe of a run for which nobody says how to train, where there is one of that name."""
HOW = ("recipe", "freeze", "train", "groups", "phases", "lora")
"""Who says one of these says what trains."""
_NEVER = ("recipe", "run_dir")
"""Keys that a recipe may not say: a recipe is no run."""


@dataclass(frozen=True)
class Recipe:
    """A recipe as it was read: its text, what that says, and whose it is; a file is nobody's."""

    use: str
    text: str
    tree: Mapping[str, Any]
    distribution: str = ""
    version: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Laid:
    """A config's `tree`, with what was typed over it and a recipe under it, where there is one, and what has to be
    heard: what was typed, and where the phases are the recipe's, each key of the config, too."""

    tree: dict[str, Any]
    heard: tuple[Typed, ...]


def read_recipe(use: str, plugins: Plugins) -> Recipe:
    """Find and read the recipe that is named, or the file. Raises FtError where there is none, or it cannot be one."""
    if use.endswith(FILES):
        file = Path(os.path.expanduser(use))
        try:
            text = read_text(file)
        except (OSError, UnicodeDecodeError) as error:
            raise FtError(f"cannot read the recipe {use}: {getattr(error, 'strerror', None) or error}") from error
        return _read(use, text, f"the recipe {use}")
    component = plugins.get("recipe", parse_reference(use))
    return of_component(component, use)


def of_component(component: Component, use: str = "") -> Recipe:
    """The recipe that a package brings. Raises FtError where its file is none."""
    text = packaged_text(component)
    return _read(use or component.name, text, component.label, component.distribution, component.version)


def _read(use: str, text: str, called: str, distribution: str = "", version: str = "") -> Recipe:
    try:
        tree = parse_yaml(text)
    except ValueError as error:
        raise FtError(f"{called}: {error}") from None
    if not isinstance(tree, dict):
        raise FtError(f"{called} is no mapping; it says what a config may say, as in 'freeze: all'")
    if never := [key for key in _NEVER if key in tree]:
        raise FtError(f"{called} says {never[0]}, which is for a config to say; a whole config is used with --config")
    try:
        validate(Config, {"backbone": "any", **tree}, "")
    except FtError as error:
        raise FtError(f"{error}\n({called})") from None
    return Recipe(use, text, tree, distribution, version)


def said_by(named: Any, plugins: Plugins) -> Mapping[str, Any]:
    """What the recipe that is named says; nothing where none is."""
    return read_recipe(_use(named), plugins).tree if named is not None else {}


def lay_under(content: Mapping[str, Any], typed: Sequence[Typed], plugins: Plugins | None, usual: str = USUAL) -> Laid:
    """Lay the recipe that is typed, or that `content` names, under both, where it was not done before.

    Of what `content` or a typed value says, nothing is lost. Who says `freeze` and no `train` takes nothing back, as in
    a phase. Where nobody says how to train pretrained weights, the recipe is the `usual` one. Raises FtError for a
    recipe of which nothing would be heard, and where there are no `plugins`: a run that has begun has no other recipe.
    """
    use, rest = _named(content, typed)
    asked = bool(use)
    if not asked and plugins is not None and _wants_usual(content, typed) and plugins.has("recipe", usual):
        use = usual
    if not use:
        return Laid(merge(Config, {**content, **_heard_still(content, typed)}, typed), tuple(typed))
    if plugins is None:
        raise FtError(f"the recipe '{use}' is laid under a config when a run begins: start a new run with --config")
    recipe = read_recipe(use, plugins.preferring(_preferred(content)))
    pairs = [(path, value) for path, value in leaves(Config, content) if path != ("recipe",)]
    said = [Typed(path, value, f"{'.'.join(path)} of the config") for path, value in pairs]
    over = (*said, *rest)
    tree = merge(Config, merge(Config, recipe.tree, said), rest)
    says = _says(recipe, over)
    if "freeze" in (paths := {each.path[0] for each in over}) and "train" not in paths:
        tree.pop("train", None)
        says = [key for key in says if key != "train"]
    if not says and not asked:
        return lay_under(content, typed, plugins, usual="")
    if not says:
        others = ", ".join(".".join(path) for path, _ in leaves(Config, recipe.tree))
        raise FtError(f"nothing of the recipe '{use}' would be heard: {others} is said over it. Leave one of them out")
    whose = {"distribution": recipe.distribution, "version": recipe.version, "sha256": recipe.sha256}
    tree["recipe"] = {"use": use, **{key: value for key, value in whose.items() if value}, "says": says}
    if not asked:
        tree["recipe"]["usual"] = True
    return Laid(tree, over if "phases" in says else tuple(rest))


def without_recipe(config: Config) -> Config:
    """The config as it were without its recipe: what that said is as where nobody says anything."""
    assert config.recipe is not None
    tree = config.model_dump(mode="json")
    for key in ("recipe", *config.recipe.says):
        drop(tree, key.split("."))
    return validate(Config, tree, "")


def _wants_usual(content: Mapping[str, Any], typed: Sequence[Typed]) -> bool:
    """Whether nobody says how to train, and the weights are to be pretrained ones."""
    said = [path for path, _ in leaves(Config, content)] + [each.path for each in typed]
    if {path[0] for path in said} & set(HOW):
        return False
    weights = merge(Config, content, typed).get("weights")
    return (weights.get("use") if isinstance(weights, Mapping) else weights) != "none"


def _named(content: Mapping[str, Any], typed: Sequence[Typed]) -> tuple[str, list[Typed]]:
    """The recipe that is to be laid under, "" for none, and what else was typed."""
    rest = [each for each in typed if each.path[0] != "recipe"]
    asked = [each for each in typed if each.path[0] == "recipe"]
    if settings := [each for each in asked if len(each.path) > 1]:
        raise FtError(f"{settings[0].called}: a recipe takes no settings; what it says is changed as any key is")
    named = asked[-1].value if asked else content.get("recipe")
    if isinstance(named, Mapping) and named.get("sha256") and not asked:
        return "", rest  # it was done, and its text may be another by now
    if named is None:
        return "", rest
    return _use(named), rest


def _use(named: Any) -> str:
    use = named.get("use") if isinstance(named, Mapping) else named
    if isinstance(named, Mapping) and (
        settings := sorted(str(key) for key in named.keys() - RecipeConfig.model_fields)
    ):
        raise FtError(f"recipe.{settings[0]}: a recipe takes no settings; what it says is changed as any key is")
    if not isinstance(use, str) or not use:
        raise FtError(f"setting 'recipe' cannot be {named!r}: it takes a name, as in lp-ft, or a file, as in ./my.yaml")
    return use


def _heard_still(content: Mapping[str, Any], typed: Sequence[Typed]) -> dict[str, Any]:
    """Of a config under which a recipe was laid, what that says once something was typed over it."""
    done = content.get("recipe")
    if not isinstance(done, Mapping) or not isinstance(done.get("says"), list):
        return {}
    left = [key for key in done["says"] if not any(_covers(each.path, str(key).split(".")) for each in typed)]
    return {"recipe": {**done, "says": left}}


def _says(recipe: Recipe, over: Sequence[Typed]) -> list[str]:
    """What a recipe says and nothing goes over."""
    told = [path for each in over for path in _paths(each)]
    kept = (path for path, _ in leaves(Config, recipe.tree) if not any(_covers(one, path) for one in told))
    return [".".join(path) for path in kept]


def _paths(typed: Typed) -> Iterator[tuple[str, ...]]:
    """The keys that a typed value sets; of a component that stays, only its settings."""
    first, *below = typed.path
    for path, value in [(typed.path, typed.value)] if below else leaves(Config, {first: typed.value}):
        if isinstance(value, Mapping) and "use" not in value:
            yield from ((*path, str(name)) for name in value)
        else:
            yield path


def _covers(path: Sequence[str], below: Sequence[str]) -> bool:
    return tuple(below[: len(path)]) == tuple(path)


def _preferred(content: Mapping[str, Any]) -> dict[str, str]:
    """Which distributions a config prefers for recipes."""
    prefer = content.get("prefer")
    named = prefer if isinstance(prefer, Mapping) else {}
    return {str(key): str(value) for key, value in named.items() if str(key).startswith("recipe:")}
