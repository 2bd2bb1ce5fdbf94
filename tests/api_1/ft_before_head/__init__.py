"""The head builder before-head for ft: `ft run --head before-head`."""

from collections.abc import Iterator

from ft import HeadBuilder, hookimpl

FT_API = 1  # the version of ft's plugin API that this is made for


@hookimpl
def ft_head_builders() -> Iterator[HeadBuilder]:
    yield HeadBuilder(
        "before-head",
        "A linear layer on normalised features",
        build="ft_before_head.before_head:build",
        settings="ft_before_head.before_head:Settings",
    )
