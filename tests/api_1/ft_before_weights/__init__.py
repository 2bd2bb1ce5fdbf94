"""The weight source before-weights for ft: `ft run --weights before-weights:/net/weights`."""

from collections.abc import Iterator

from ft import WeightSource, hookimpl

FT_API = 1  # the version of ft's plugin API that this is made for


@hookimpl
def ft_weight_sources() -> Iterator[WeightSource]:
    yield WeightSource(
        "before-weights",
        "A shared folder that holds the published files, each in a folder named after its weights or not",
        fetch="ft_before_weights.before_weights:fetch",
        example="before-weights:/net/weights",
    )
