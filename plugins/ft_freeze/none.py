"""`none`: nothing is frozen."""

from ft import Backbone, FtError, Settings


def select(backbone: Backbone, argument: str | None, settings: Settings) -> frozenset[str]:
    """Raises FtError for an argument."""
    if argument is not None:
        raise FtError(f"'none' takes no argument, but got '{argument}'")
    return frozenset()
