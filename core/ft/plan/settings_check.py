"""Reads the settings of every component that a config names, before anything is read or fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ft.config.schema import ComponentConfig, Config
from ft.data.load import data_reference
from ft.extension.installed import Component, Plugins, read_settings
from ft.extension.references import parse_reference
from ft.model.head import KEEP


def check_settings(config: Config, plugins: Plugins) -> None:
    """Raise FtError for a component that is not there, and for settings that it does not take.

    The settings of the backbone and of a weight source are read where these are chosen, which is before any fetching.
    """
    for key, component, part in _named(config, plugins):
        read_settings(component, part.settings, key)


def _named(config: Config, plugins: Plugins) -> Iterator[tuple[str, Component, ComponentConfig]]:
    """Each component with the key of the config under which it stands, as `--set` takes it."""
    yield "data", plugins.get("data", data_reference(config.data.use, plugins)), config.data
    if config.head.use != KEEP:
        yield "head", plugins.get("head", parse_reference(config.head.use)), config.head
    groups = [group.match for group in config.groups]
    for key, below, parts in (("freeze", "", config.freeze), ("train", "", config.train), ("groups", ".match", groups)):
        for place, part in zip(_places(key, parts), parts, strict=True):
            yield f"{place}{below}", plugins.get("freeze", parse_reference(part.use)), part


def _places(key: str, parts: Sequence[ComponentConfig]) -> list[str]:
    """What `--set` calls the items of a list: by number where there are several."""
    return [key] if len(parts) == 1 else [f"{key}.{number}" for number in range(len(parts))]
