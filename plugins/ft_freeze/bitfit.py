"""`bitfit`: all but biases and normalisation is frozen."""

from ft import Backbone, FtError, Settings
from ft_freeze.type import is_kind


def select(backbone: Backbone, argument: str | None, settings: Settings) -> frozenset[str]:
    """Biases train, as in Ben-Zaken et al. 2022, "BitFit", section 3; so do the gains of normalisation layers.

    Raises FtError for an argument, and for a backbone that has neither.
    """
    if argument is not None:
        raise FtError(f"'bitfit' takes no argument, but got '{argument}'; see also 'type:conv,linear'")
    names = backbone.parameter_names()
    small = {name for name in names if is_kind("bias", name, backbone.module) or is_kind("norm", name, backbone.module)}
    if not small:
        raise FtError(f"{backbone} has neither biases nor normalisation to train; 'all' freezes the whole backbone")
    return frozenset(names) - small
