"""Images of classes, as a run has them, made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ft.config.component import ComponentConfig
from ft.data.load import ImageData, Item
from ft.extension.extensions import DataSource
from ft.extension.installed import Component, Plugin, Plugins, load_plugins
from ft.extension.kinds import KINDS
from ft.extension.tasks import LabelSpace
from ft.task.chosen import ChosenTask, choose_task


def classification(**settings: Any) -> ChosenTask:
    """The task of classification with these settings."""
    return choose_task(ComponentConfig(use="classification", **settings), load_plugins())


def image_data(
    names: Sequence[str],
    train: Sequence[Item] = (),
    val: Sequence[Item] = (),
    test: Sequence[Item] = (),
    source: str = "given",
    **others: Any,
) -> ImageData:
    """Data whose items have the names of their targets as labels."""

    def labelled(items: Sequence[Item]) -> tuple[Item, ...]:
        return tuple(replace(item, label=item.label or names[item.target % len(names)]) for item in items)

    parts = map(labelled, (train, val, test))
    return ImageData(classification(), LabelSpace(tuple(names)), *parts, source, **others)


def source_alone(*records: DataSource) -> Plugins:
    """Plugins that have these data sources, of a distribution test-dist, and the built-in tasks."""
    components = tuple(Component(KINDS["data"], record, "test-dist", "1.0") for record in records)
    own = Plugin("test", "test", "test-dist", "1.0", "ok", components=components)
    tasks = [plugin for plugin in load_plugins().all if any(each.kind.name == "task" for each in plugin.components)]
    return Plugins((own, *tasks))
