"""`blocks:0-5`, `blocks:0,2,4`, `blocks:-1`: residual, transformer and other blocks by their number from the input.

A block is an outermost module inside a stage that is no mere sequence of others (Sequential, ModuleList, ModuleDict)
and holds at least two weights of layers, that is, parameters of two or more dimensions: ResNet's BasicBlock, ViT's
EncoderBlock, GoogLeNet's Inception. Stems, transitions and what else lies between blocks is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ft import Backbone, FtError, Settings

if TYPE_CHECKING:
    from torch import nn


def select(backbone: Backbone, argument: str | None, settings: Settings) -> frozenset[str]:
    """Numbers start at 0, ranges hold both ends, and -1 is the last block.

    Raises FtError for what is none of these, for a block that does not exist, and for a backbone without blocks.
    """
    if not argument:
        raise FtError("blocks needs numbers of blocks, as in 'blocks:0-5' or 'blocks:0,2,4'")
    paths = block_paths(backbone)
    if not paths:
        stages = ", ".join(stage.name for stage in backbone.stages)
        raise FtError(f"{backbone} has no blocks, only layers; its stages are {stages}: see 'depth' and 'until'")
    chosen = [number for part in argument.split(",") for number in _numbers(part, argument)]
    absent = next((number for number in chosen if not -len(paths) <= number < len(paths)), None)
    if absent is not None:
        raise FtError(f"{backbone} has the blocks 0 to {len(paths) - 1} (or -1, the last), but no block {absent}")
    return frozenset(backbone.parameters_under(*(paths[number] for number in chosen)))


def block_paths(backbone: Backbone) -> list[str]:
    """The paths of all blocks, from the input to the output."""
    modules = dict(backbone.module.named_modules(remove_duplicate=False))
    paths = [path for stage in backbone.stages for path in stage.paths if path in modules]
    return [block for path in paths for block in _blocks(path, modules[path]) if not backbone.in_head(block)]


def _blocks(path: str, module: nn.Module) -> Iterator[str]:
    from torch import nn

    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        for name, child in module.named_children():
            yield from _blocks(f"{path}.{name}", child)
    elif any(True for _ in module.children()) and sum(parameter.ndim > 1 for parameter in module.parameters()) > 1:
        yield path


def _numbers(part: str, argument: str) -> range:
    if match := re.fullmatch(r"(\d{1,6})-(\d{1,6})", part.strip()):
        first, last = int(match[1]), int(match[2])
        if first <= last:
            return range(first, last + 1)
    elif re.fullmatch(r"-?\d{1,6}", part.strip()):
        return range(int(part), int(part) + 1)
    raise FtError(f"'{part}' in 'blocks:{argument}' is no number or range of blocks, as in 'blocks:0-5,8'")
