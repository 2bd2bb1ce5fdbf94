"""What there is to choose from: every backbone with its published facts and whether its weights are on this machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from ft.errors import FtError
from ft.extension.installed import Component, Plugins, implementation
from ft.extension.records import ModelFacts, WeightEntry
from ft.extension.references import parse_reference
from ft.model.catalogue import model_names, weight_entries
from ft.weights.cache import Cache
from ft.weights.inventory import stored_weights


@dataclass(frozen=True)
class ListedModel:
    """A backbone as `ft models` shows it.

    `weights` and `size`, in bytes, are those of the default entry, "" and None where there is none; `here` names the
    entries whose files are on this machine. The facts are `ModelFacts`'s.
    """

    name: str
    parameters: int | None
    flops: int | None
    accuracy: float | None
    weights: str
    size: int | None
    here: tuple[str, ...]
    recommended: str
    for_tests: bool

    @property
    def provider(self) -> str:
        """The part of the name before the colon."""
        return self.name.partition(":")[0]


def listed_models(plugins: Plugins, cache: Cache) -> tuple[list[ListedModel], list[str]]:
    """Every model, provider by provider; and, of providers that cannot list theirs, why not (a missing library, say).

    Of a provider, the most accurate come first, then those of unknown accuracy by name, then what is there for tests.
    Neither a network nor torch is needed.
    """
    stored = {each.path.name for each in stored_weights(cache)}
    listed: list[ListedModel] = []
    reasons: list[str] = []
    for component in plugins.components("backbone"):
        try:
            made = [_described(component, name, plugins, stored) for name in model_names(component)]
        except FtError as error:
            reasons.append(str(error))
        else:
            listed += in_order(sorted(made, key=ORDERS["name"]), "accuracy")
    return listed, reasons


def in_order(models: Iterable[ListedModel], by: str) -> list[ListedModel]:
    """The models by one of ORDERS; what is there for tests is last, before it what the order cannot place."""
    return sorted(models, key=lambda model: (model.for_tests, *ORDERS[by](model)))


def _rising(value: Callable[[ListedModel], float | None]) -> Callable[[ListedModel], tuple[Any, ...]]:
    def key(model: ListedModel) -> tuple[Any, ...]:
        number = value(model)
        return (number is None, number or 0)

    return key


ORDERS: dict[str, Callable[[ListedModel], tuple[Any, ...]]] = {
    "name": lambda model: (model.name,),
    "parameters": _rising(lambda model: model.parameters),
    "flops": _rising(lambda model: model.flops),
    "accuracy": _rising(lambda model: None if model.accuracy is None else -model.accuracy),
    "size": _rising(lambda model: model.size),
}
"""What models can be sorted by: the smallest first, the most accurate first."""


def _described(component: Component, name: str, plugins: Plugins, stored: Collection[str]) -> ListedModel:
    entries = weight_entries(component, name)
    facts = implementation(component, "facts")(name) if component.record.facts else ModelFacts()
    default = entries[0] if entries else None
    return ListedModel(
        name=f"{component.name}:{name}",
        parameters=facts.parameters,
        flops=facts.flops,
        accuracy=facts.accuracy,
        weights=default.name if default else "",
        size=(default.size or default.approximate_size) if default else None,
        here=tuple(entry.name for entry in entries if entry.file_name in stored or _is_at_its_source(entry, plugins)),
        recommended=facts.recommended,
        for_tests=facts.for_tests,
    )


def _is_at_its_source(entry: WeightEntry, plugins: Plugins) -> bool:
    reference = parse_reference(entry.source)
    if not plugins.has("weights", reference.name):
        return False
    source = plugins.get("weights", reference)
    return source.record.is_here is not None and bool(implementation(source, "is_here")(entry, reference.argument))
