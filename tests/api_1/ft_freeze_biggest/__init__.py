from collections.abc import Iterator

from ft import FreezeStrategy, hookimpl
from ft_freeze_biggest.biggest import Biggest


@hookimpl
def ft_freeze_strategies() -> Iterator[FreezeStrategy]:
    yield FreezeStrategy("biggest", "The N largest parameter tensors", select=Biggest().select, example="biggest:5")
