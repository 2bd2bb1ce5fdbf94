"""Recipes: ways to train, a YAML file each."""

from collections.abc import Iterator

from ft import Recipe, hookimpl


@hookimpl
def ft_training_recipes() -> Iterator[Recipe]:
    yield Recipe("default", "The last fifth of the stages: where nobody says how to train", "ft_recipes:default.yaml")
    yield Recipe("quick", "A linear head, solved for on kept features: about a minute", "ft_recipes:quick.yaml")
    yield Recipe("linear-probe", "A linear head, solved for with each of 13 penalties", "ft_recipes:linear-probe.yaml")
    yield Recipe("best", "A solved head, then the last fifth of the stages on kept views", "ft_recipes:best.yaml")
    yield Recipe("lp-ft", "A solved head, then everything from there", "ft_recipes:lp-ft.yaml")
    yield Recipe("gradual", "One stage more trains in each phase, from the head on", "ft_recipes:gradual.yaml")
    yield Recipe("discriminative", "Everything, slower the further from the head", "ft_recipes:discriminative.yaml")
    yield Recipe("surgical", "A solved head, then one block alone", "ft_recipes:surgical.yaml")
    yield Recipe("full", "Everything at one rate", "ft_recipes:full.yaml")
    yield Recipe("lora", "Low-rank adapters beside frozen layers, merged on saving", "ft_recipes:lora.yaml")
    yield Recipe("bitfit", "Biases and normalisation, and the head", "ft_recipes:bitfit.yaml")
