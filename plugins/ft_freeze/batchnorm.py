"""`batchnorm`: BatchNorm layers wherever they are, whose statistics then stay what they were in pretraining.

In layers that train, BatchNorm normalises by the batch and not by what it kept. Where images differ from those of
pretraining, features jump as training begins, and a head that was solved for before no longer fits them.
"""

from __future__ import annotations

from ft import Backbone, FtError, Settings


def select(backbone: Backbone, argument: str | None, settings: Settings) -> frozenset[str]:
    """Weights and biases of all layers that keep running statistics. Raises FtError for an argument."""
    from torch import nn

    if argument is not None:
        raise FtError(f"'batchnorm' takes no argument, but got '{argument}'; of some layers it is 'regex:{argument}'")
    kept = (nn.modules.batchnorm._NormBase,)
    paths = {path for path, layer in backbone.module.named_modules() if isinstance(layer, kept)}
    return frozenset(name for name in backbone.parameter_names() if name.rpartition(".")[0] in paths)
