"""`depth:3`, `depth:60%`, `depth:-1`: the first three stages, the first 60 % of them, all but the last."""

import re
from fractions import Fraction

from ft import Backbone, FtError, Settings


def select(backbone: Backbone, argument: str | None, settings: Settings) -> frozenset[str]:
    """A share is rounded down to whole stages. Raises FtError for a depth that is none, or out of range."""
    if not argument:
        raise FtError("depth needs a number of stages, as in 'depth:3', 'depth:60%' or 'depth:-1'")
    total = len(backbone.stages)
    depth = _depth(argument, total)
    if not 1 <= depth <= total:
        stages = ", ".join(stage.name for stage in backbone.stages)
        raise FtError(
            f"'depth:{argument}' is not 1 to {total} stages of {backbone}, which has: {stages}; "
            f"write depth:1 to depth:{total}, or 'none'"
        )
    paths = [path for stage in backbone.stages[:depth] for path in stage.paths]
    return frozenset(backbone.parameters_under(*paths))


def _depth(argument: str, total: int) -> int:
    if share := re.fullmatch(r"(\d+(?:\.\d+)?)%", argument):
        stages = Fraction(share[1]) * total / 100
        return int(stages) if stages <= total else total + 1
    if number := re.fullmatch(r"-?\d+", argument):
        return total + int(number[0]) if argument.startswith("-") else int(number[0])
    raise FtError(f"'{argument}' is no depth; write a number of stages or a share, as in 'depth:3' or 'depth:60%'")
