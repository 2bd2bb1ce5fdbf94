"""Which values of images with more than 8 bits become black and white: found out, or checked against what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from dataclasses import replace
from typing import Literal

from ft.config.schema import Config
from ft.data.decoding import Facts
from ft.data.load import ImageData
from ft.data.values import Range, Values, needs_range
from ft.text.counting import number_of

_HALF = 32767
"""A set of 16-bit images none of whose values is above uses less than half of the grey levels that it could."""


def resolve_range(config: Config, data: ImageData) -> Config:
    """Fill in `images.range: auto`: the lowest and the highest value of the training images that have more than 8 bits;
    no range where there are none."""
    if config.images.range != "auto":
        return config
    train = (data.facts.get(item.picture.name) for item in data.train)
    deep = [each.values for each in train if each is not None and each.values and needs_range(each.values)]
    lowest, highest = min((v.lowest for v in deep), default=0.0), max((v.highest for v in deep), default=0.0)
    found = (lowest, max(highest, lowest + 1)) if deep else None
    return config.model_copy(update={"images": config.images.model_copy(update={"range": found})})


def warn_of_values(data: ImageData, asked: Range | Literal["auto"] | None, value_range: Range | None) -> ImageData:
    """Return `data`, which is checked, with what is to be said of images with more than 8 bits or several frames.

    `asked` is the range as the config has it, `value_range` what became of it.
    """
    notes = []
    if asked == "auto" and value_range is not None:
        notes.append(
            f"images.range: {value_range[0]:g} becomes black and {value_range[1]:g} white, as training images have"
        )
    strange = strange_values(data.facts, asked is not None, value_range)
    return replace(data, notes=(*data.notes, *notes), warnings=(*data.warnings, *strange, *several_frames(data.facts)))


def strange_values(facts: Mapping[str, Facts], asked: bool, value_range: Range | None) -> Iterator[str]:
    """Say what is lost of images with more than 8 bits, by the names of pictures."""
    every = {name: one.values for name, one in facts.items() if one.values is not None}
    grey = {name: values for name, values in every.items() if needs_range(values)}
    coloured = {name: values for name, values in every.items() if not needs_range(values)}
    if asked and not grey:
        yield "images.range has no effect: no image is grey with more than 8 bits"
    elif value_range is not None:
        yield from _clipped(grey, value_range)
    elif grey and (highest := max(values.highest for values in grey.values())) <= _HALF:
        yield (
            f"{_have(grey)} more than 8 bits, and no value of theirs is above {highest:g} of 65535, so they "
            f"become {round(highest / 257) + 1} of 256 levels of grey. Say which values are black and white, as in "
            f"--set images.range=[0,{_bits(highest)}], or let ft find out with --set images.range=auto"
        )
    if coloured and (highest := max(values.highest for values in coloured.values())) <= _HALF:
        yield (
            f"{_have(coloured)} 16 bits a colour, of which the upper eight are read, and these are "
            f"never above {highest / 257:g} of 255, as in {next(iter(coloured))}; save them with 8 bits, brightened"
        )


def several_frames(facts: Mapping[str, Facts]) -> Iterator[str]:
    """Say which images have several pages or frames, by the names of pictures."""
    if several := {name: one.frames for name, one in facts.items() if one.frames > 1}:
        name, frames = next(iter(several.items()))
        images = number_of(len(several), "image holds", "images hold")
        yield f"{images} several pages or frames, as {name} does ({frames}); the first one is used"


def _have(images: Sized) -> str:
    return number_of(len(images), "image has", "images have")


def _clipped(grey: Mapping[str, Values], value_range: Range) -> Iterator[str]:
    low, high = value_range
    outside = {name: values for name, values in grey.items() if values.lowest < low or values.highest > high}
    if outside:
        name, values = next(iter(outside.items()))
        yield (
            f"{_have(outside)} values outside of images.range [{low:g}, {high:g}], which become black or "
            f"white, as {name} does: {values.lowest:g} to {values.highest:g}"
        )


def _bits(highest: float) -> int:
    """The highest number of as many bits as `highest` has."""
    return int(2 ** max(8, int(highest).bit_length()) - 1)
