"""Freezing strategies, one file each."""

from collections.abc import Iterator

from ft import FreezeStrategy, hookimpl


@hookimpl
def ft_freeze_strategies() -> Iterator[FreezeStrategy]:
    yield FreezeStrategy("none", "Nothing: all of the network trains", "ft_freeze.none:select", allows_empty=True)
    yield FreezeStrategy("all", "The whole backbone: only the head trains", "ft_freeze.all:select")
    yield FreezeStrategy(
        "regex",
        "Parameters, and all in modules, whose whole name a regular expression matches",
        "ft_freeze.regex:select",
        example="regex:features.*",
    )
    yield FreezeStrategy(
        "depth",
        "The first stages: a number, a share, or, if negative, all but so many",
        "ft_freeze.depth:select",
        example="depth:3",
    )
    yield FreezeStrategy(
        "until",
        "Everything from the input up to and including a stage or a module",
        "ft_freeze.until:select",
        example="until:layer3",
    )
    yield FreezeStrategy(
        "type",
        "Parameters by the kind of layer: norm, conv, linear, bias",
        "ft_freeze.type:select",
        example="type:norm",
    )
    yield FreezeStrategy(
        "batchnorm",
        "BatchNorm layers, whose statistics then stay as they are; of a network without, nothing",
        "ft_freeze.batchnorm:select",
        optional=True,
    )
    yield FreezeStrategy(
        "blocks",
        "Blocks by their number, counted from the input: blocks:0-5, blocks:0,2,4, blocks:-1",
        "ft_freeze.blocks:select",
        example="blocks:0-2",
    )
    yield FreezeStrategy("bitfit", "All but biases and normalisation", "ft_freeze.bitfit:select")
    yield FreezeStrategy(
        "fisher",
        "All but the stages that matter most for these images, by Fisher information",
        "ft_freeze.fisher:select",
        settings="ft_freeze.fisher:FisherSettings",
        example="fisher:1",
        needs_data=True,
    )
