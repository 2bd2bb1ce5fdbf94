"""`before-freeze:N`: parameter tensors with at least N values stay as they were pretrained."""

import ft
from ft import Backbone, FtError
from pydantic import Field


class Settings(ft.Settings):
    biases: bool = Field(False, description="freeze the biases too, whatever their size")


def select(backbone: Backbone, argument: str | None, settings: Settings) -> set[str]:
    """Return the names of the parameters to freeze. Raises FtError for an N that is none or leaves nothing to freeze.

    `argument` is what stands after the colon, None if there is no colon. The names are those of
    `backbone.parameter_names()`; `backbone.stages` lists the network's sections from input to output.
    """
    if not argument or not argument.isdecimal():
        raise FtError("before-freeze needs a number of values, as in 'before-freeze:10000'")
    sizes = {name: backbone.module.get_parameter(name).numel() for name in backbone.parameter_names()}
    chosen = {name for name, size in sizes.items() if size >= int(argument)}
    if settings.biases:
        chosen |= {name for name in sizes if name.endswith("bias")}
    if not chosen:
        raise FtError(f"no parameter tensor of {backbone} has {argument} values; the largest has {max(sizes.values())}")
    return chosen
