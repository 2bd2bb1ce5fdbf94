"""The freezing strategy before-freeze for ft: `ft run --freeze before-freeze:10000`."""

from collections.abc import Iterator

from ft import FreezeStrategy, hookimpl

FT_API = 1  # the version of ft's plugin API that this is made for


@hookimpl
def ft_freeze_strategies() -> Iterator[FreezeStrategy]:
    yield FreezeStrategy(
        "before-freeze",
        "Parameter tensors with at least so many values",
        select="ft_before_freeze.before_freeze:select",
        settings="ft_before_freeze.before_freeze:Settings",
        example="before-freeze:10000",
    )
