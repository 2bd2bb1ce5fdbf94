"""Which backbones there are: providers, model names and weight entries, found out without importing torch."""

from __future__ import annotations

from collections.abc import Sequence

from ft.errors import FtError, did_you_mean
from ft.extension.installed import Component, Plugins, implementation, read_settings
from ft.extension.records import WeightEntry
from ft.extension.references import parse_reference


def find_model(use: str, plugins: Plugins) -> tuple[Component, str]:
    """Return the provider and the model name that `use` names. Raises FtError with the nearest names."""
    reference = parse_reference(use)
    if reference.argument is None and not plugins.has("backbone", reference.name):
        raise FtError(_provider_missing(use, plugins))
    component = plugins.get("backbone", reference)
    if reference.argument and not component.record.lists_all:
        return component, reference.argument
    names = model_names(component)
    if reference.argument not in names:
        wanted = reference.argument or ""
        some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        what = f"{component.name} has no model named '{wanted}'" if wanted else f"'{use}' names no model"
        if not component.record.lists_all:
            raise FtError(f"{what}; {component.name} is {component.record.summary}")
        raise FtError(f"{what}.{did_you_mean(wanted, names)} It has {len(names)}: {some} (see ft models)")
    assert reference.argument is not None
    return component, reference.argument


def model_names(component: Component) -> Sequence[str]:
    """Names of all models of a provider, with its default settings."""
    settings = read_settings(component, {}, "backbone")
    return list(implementation(component, "models")(settings))


def list_models(plugins: Plugins) -> tuple[list[tuple[Component, str]], list[str]]:
    """Every model with its provider; and, of providers that cannot list theirs, why not (a missing library, say)."""
    listed: list[tuple[Component, str]] = []
    reasons: list[str] = []
    for component in plugins.components("backbone"):
        try:
            listed += [(component, name) for name in model_names(component)]
        except FtError as error:
            reasons.append(str(error))
    return listed, reasons


def weight_entries(component: Component, model_name: str) -> Sequence[WeightEntry]:
    """The weight entries of one model, the default first; none when the provider publishes none."""
    if component.record.weights is None:
        return []
    return list(implementation(component, "weights")(model_name))


def _provider_missing(use: str, plugins: Plugins) -> str:
    listed, _ = list_models(plugins)
    owners = [f"{component.name}:{use}" for component, name in listed if name == use]
    if owners:
        return f"write the provider too: {' or '.join(owners)}"
    near = did_you_mean(use, [name for _, name in listed])
    return f"'{use}' is no backbone; write provider:model, as in torchvision:resnet18.{near} (see ft models)"
