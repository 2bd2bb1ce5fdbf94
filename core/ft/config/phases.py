"""What the phases of a config come to: for each of them, a config that says all of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ft.config.merging import Typed, drop
from ft.config.phase import MEASURED, PLACES, PhaseConfig
from ft.config.schema import Config
from ft.errors import FtError
from ft.text.names import typed as command

_NOT_TO_BE_EDITED = ("run_dir", "recipe", "time_budget")
"""Keys that say what a config came from, or what was cut in it; it is another one once it is edited."""
_NAMES = {path: name for name, path in PLACES.items()}


def configs_of(config: Config) -> tuple[Config, ...]:
    """The config of each phase, without phases: what it says, over what all of them share. Where `config` lists no
    phases, it is that of the only one."""
    return tuple(_over(config, phase) for phase in config.phases) or (config,)


def said_by(config: Config) -> dict[str, Any]:
    """Everything that a phase may say, as the `config` of one says it; plain data, by the keys of a phase."""
    tree = config.model_dump(mode="json")
    return {name: _at(tree, path) for name, path in PLACES.items()}


def measured_in(config: Config, number: int, phase: Config) -> Config:
    """`config` with what was measured when its phase of this number (from 1), whose config is `phase`, began."""
    if not config.phases:
        return phase
    measured = {name: _at(dict(phase), path) for name, path in MEASURED.items()}
    measured = {name: value for name, value in measured.items() if value is not None}
    listed = list(config.phases)
    listed[number - 1] = listed[number - 1].model_copy(update=measured)
    return config.model_copy(update={"phases": tuple(listed)})


def spelt_out(config: Config, phases: Iterable[tuple[Config, Collection[str]]]) -> dict[str, Any]:
    """A config as plain data, in which every phase says all that it may say, but what is idle in it: to be edited."""
    tree = config.model_dump(mode="json", exclude_defaults=True)
    for path in (*PLACES.values(), *MEASURED.values(), "training.derived", *_NOT_TO_BE_EDITED):
        drop(tree, path.split("."))
    listed = [{name: said for name, said in said_by(phase).items() if name not in idle} for phase, idle in phases]
    return {**tree, "phases": listed}


def check_heard(config: Config, typed: Iterable[Typed], idle_in: Callable[[Config], Collection[str]]) -> None:
    """Raise FtError for what was said for all phases of `config`, and every one of them says itself or, as something
    that is `idle_in` it, does without: nobody would hear it."""
    if not config.phases:
        return
    phases = [
        (phase.model_fields_set, idle_in(whole)) for phase, whole in zip(config.phases, configs_of(config), strict=True)
    ]
    for each, name in ((one, name) for one in typed for name in _named_by(one)):
        idle = [name in without for _, without in phases]
        own = [name in said for said, _ in phases]
        if all(one or other for one, other in zip(own, idle, strict=True)):
            acting = [at for at, (one, other) in enumerate(zip(own, idle, strict=True)) if one and not other]
            raise FtError(f"{each.called}: it would change nothing, since {_unheard(config, name, acting, any(idle))}")


def whose_phases(config: Config) -> str:
    """What to add to what is wrong with a phase, where the phases are a recipe's: how they are changed; else ""."""
    if config.recipe is None or "phases" not in config.recipe.says:
        return ""
    copy = command("ft", "recipes", "copy", config.recipe.use, "mine.yaml")
    return f"; the phases are those of the recipe '{config.recipe.use}', to be changed in a copy: {copy}"


def _unheard(config: Config, name: str, acting: Sequence[int], some_idle: bool) -> str:
    """Why no phase hears what is said for all, and what to type: only those that are `acting` have a use for it."""
    theirs = whose_phases(config)
    if not acting:
        return f"every phase fits the head in another way, and does without '{name}'; leave it out{theirs}"
    instead = "" if theirs else ", or do without phases: --set 'phases=[]'"
    every = "every phase that has a use for it" if some_idle else "every phase"
    return (
        f"{every} says its own '{name}'. Say which phase is meant, as in "
        f"--set phases.{acting[0]}.{name}=...{instead}{theirs}"
    )


def refuse_changes(config: Config, changes: Mapping[str, Any], where: str) -> None:
    """Raise FtError for `changes` of the config of a run that goes on in phases: which of them would be meant?"""
    if config.phases and (others := sorted(_NAMES[key] for key in changes if key in _NAMES)):
        raise FtError(
            f"{where} runs in phases, so {', '.join(others)} cannot be changed on the way as for a run without; phases "
            f"that have not begun are changed, and others added, in {where}/config.yaml"
        )


def _named_by(typed: Typed) -> Iterator[str]:
    """What a phase may say of what was typed."""
    below = typed.value if len(typed.path) == 1 and isinstance(typed.value, Mapping) else {}
    for path in (typed.path[:1], typed.path[:2], *((typed.path[0], str(key)) for key in below)):
        if name := _NAMES.get(".".join(path)):
            yield name


def _over(config: Config, phase: PhaseConfig) -> Config:
    """The config of a phase. One that says `freeze` says `train`, too, and one with another optimizer or rate has the
    rates that follow from it, not those which follow from the config's."""
    said = {name: getattr(phase, name) for name in type(phase).model_fields if name in phase.model_fields_set}
    if "freeze" in said:
        said.setdefault("train", ())
    training = config.training.underived() if config.training.derived else config.training
    return config.model_copy(
        update={
            **{name: said[name] for name in ("freeze", "train") if name in said},
            "training": training.model_copy(update=_in_section(said, "training")),
            "images": config.images.model_copy(update=_in_section(said, "images")),
            "machine": config.machine.model_copy(update=_in_section(said, "machine")),
            "phases": (),
        }
    )


def _in_section(said: Mapping[str, Any], section: str) -> dict[str, Any]:
    """What a phase says of the keys of a section of the config, by their names there."""
    places = {name: path.split(".") for name, path in (PLACES | MEASURED).items()}
    return {places[name][1]: value for name, value in said.items() if places[name][0] == section}


def _at(tree: Mapping[str, Any], path: str) -> Any:
    first, _, rest = path.partition(".")
    below = tree[first]
    return below if not rest else _at(below if isinstance(below, Mapping) else dict(below), rest)
