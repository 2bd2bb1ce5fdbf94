"""The components that a config names, found among what is installed; their settings, read before anything else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ft.config.schema import Config, Named
from ft.data.reference import data_reference
from ft.errors import FtError
from ft.extension.installed import Component, Plugins, read_settings
from ft.extension.references import parse_reference
from ft.model.catalogue import find_model


def components_of(config: Config, plugins: Plugins) -> Iterator[tuple[Named, Component]]:
    """Each component that a config names, but for the weight source, which is known once it has answered.

    Raises FtError for one that is not there.
    """
    for named in config.named():
        if named.kind.name not in _KNOWN_LATER and named.part.use not in named.key.words:
            find = _FIND.get(named.kind.name)
            use = named.part.use
            yield named, find(use, plugins) if find else plugins.get(named.kind.name, parse_reference(use))


def check_settings(config: Config, plugins: Plugins) -> None:
    """Raise FtError for a component that is not there, and for settings that it does not take.

    Those of a weight source are read where it is chosen, which is before any fetching, too.
    """
    for named, component in components_of(config, plugins):
        read_settings(component, named.part.settings, named.place)
    for named in config.named():
        if named.part.use in named.key.words and named.kind.name not in _KNOWN_LATER:
            _check_word(named)


def _check_word(named: Named) -> None:
    """Raise FtError where there are settings beside a word, which is no component that could take them."""
    key, use = named.key, named.part.use
    if named.part.settings:
        given = ", ".join(f"{named.place}.{name}" for name in named.part.settings)
        raise FtError(
            f"'{use}' ({key.words[use]}) takes no settings, and there is {given}; name the {named.kind.noun} that is "
            f"to take it, as in {key.flag} NAME"
        )


def _provider(use: str, plugins: Plugins) -> Component:
    return find_model(use, plugins)[0]


def _source(use: str, plugins: Plugins) -> Component:
    return plugins.get("data", data_reference(use, plugins))


_FIND: dict[str, Callable[[str, Plugins], Component]] = {"backbone": _provider, "data": _source}
"""Kinds whose keys take more than references: a model without its provider is told, a path is one to images."""
_KNOWN_LATER = ("weights",)
