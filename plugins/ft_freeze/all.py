"""`all`: the whole backbone is frozen, and only the head trains (a linear probe, if the head is linear)."""

from ft import Backbone, FtError, Settings


def select(backbone: Backbone, argument: str | None, settings: Settings) -> frozenset[str]:
    """Raises FtError for an argument."""
    if argument is not None:
        raise FtError(f"'all' takes no argument, but got '{argument}'; part of a backbone is 'regex:{argument}'")
    return frozenset(backbone.parameter_names())
