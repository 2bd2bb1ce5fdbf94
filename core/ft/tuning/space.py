"""Over what a sweep goes: for each key the values to choose from, or a range of numbers; how people write that.

`lr=1e-5..1e-2:log`, `epochs=5..50:5`, `freeze=depth:1..4` are ranges, `freeze=all,depth:50%` and
`head=linear,{use: mlp, hidden: [256]}` are values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, get_args

from ft.config.component import ComponentConfig
from ft.config.files import as_tree
from ft.config.schema import field_at
from ft.errors import FtError
from ft.tuning.keys import path_of

Value = bool | int | float | str | None | list[Any] | dict[str, Any]
"""What a key of the config is set to."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(
    rf"(?P<before>[A-Za-z_][\w-]*:)?(?P<low>{_NUMBER})(?P<unit>%?)\.\.(?P<high>{_NUMBER})(?P=unit)"
    rf"(?::(?P<how>log|{_NUMBER}))?"
)
_ALMOST = re.compile(rf"(?:[A-Za-z_][\w-]*:)?{_NUMBER}%?\.\.")
_PAIRS = {"[": "]", "{": "}", "(": ")"}
HOW = "--over KEY=1e-5..1e-2:log is a range, --over KEY=16,32,64 are values"


@dataclass(frozen=True)
class Choices:
    """A key with the values to choose from, each by the text that people read."""

    name: str
    path: tuple[str, ...]
    values: tuple[tuple[str, Value], ...]

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for text, _ in self.values)

    def value(self, text: str) -> Value:
        """What the key is set to where `text` is chosen."""
        return dict(self.values)[text]

    @staticmethod
    def said(text: str) -> str:
        """How a choice is read."""
        return text


@dataclass(frozen=True)
class Range:
    """A key with a range of numbers, both ends included: `whole` ones, evenly over their logarithms (`log`), or in
    steps. `before` and `unit` stand around the number, as in depth:20%."""

    name: str
    path: tuple[str, ...]
    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None
    before: str = ""
    unit: str = ""

    def value(self, number: float) -> Value:
        """What the key is set to where `number` is chosen."""
        plain = int(number) if self.whole else float(number)
        return f"{self.before}{plain!r}{self.unit}" if self.before or self.unit else plain

    def said(self, number: float) -> str:
        """How a number of it is read: to four digits."""
        return f"{self.before}{int(number) if self.whole else f'{number:.4g}'}{self.unit}"

    @property
    def numbers(self) -> tuple[float, ...] | None:
        """All numbers of it, where they can be counted."""
        step = self.step or (1 if self.whole else None)
        if step is None or (self.log and not self.whole):
            return None
        return tuple(self.low + step * each for each in range(math.floor((self.high - self.low) / step + 1e-9) + 1))


Over = Choices | Range


def read_over(text: str) -> tuple[str, str]:
    """The key and the values of `--over text`. Raises FtError where it is no KEY=VALUES."""
    name, equals, values = text.partition("=")
    if not equals or not name.strip() or not values.strip():
        raise FtError(f"--over {text}: write --over KEY=VALUES; {HOW}")
    return name.strip(), values.strip()


def space_of(said: Mapping[str, Any]) -> tuple[Over, ...]:
    """What is said of each key: a text as on the command line, a list of values, or a mapping as {low, high, log}.

    Raises FtError for what is none of these, for a key that there is not, that may not be swept over, or is there
    twice.
    """
    if not said:
        raise FtError(f"over what? Write at least one --over KEY=VALUES; {HOW}")
    found = tuple(_over(str(name), values) for name, values in said.items())
    taken: dict[tuple[str, ...], str] = {}
    for each in found:
        if each.path in taken:
            raise FtError(f"--over {taken[each.path]} and --over {each.name} are the same key; give it once")
        taken[each.path] = each.name
    return found


def grid_of(space: Sequence[Over]) -> tuple[dict[str, Any], ...]:
    """Every combination, the last key changing fastest. Raises FtError for a range that cannot be counted."""
    each: list[Sequence[Any]] = []
    for over in space:
        if isinstance(over, Choices):
            each.append(over.texts)
            continue
        numbers = over.numbers
        if numbers is None:
            raise FtError(
                f"--sampler grid tries every value, and {over.name} has no end of them; give it a step, as in "
                f"--over {over.name}={over.low:g}..{over.high:g}:{(over.high - over.low) / 4:g}, or single values"
            )
        each.append(numbers)
    many = math.prod(map(len, each))
    if many > _MOST:
        raise FtError(f"--sampler grid would be {many:,} trials; give fewer values, or leave it to --sampler tpe")
    names = [over.name for over in space]
    return tuple(dict(zip(names, some, strict=True)) for some in product(*each))


_MOST = 100_000
"""Combinations of a grid."""


def _over(name: str, said: Any) -> Over:
    path = path_of(name)
    if isinstance(said, Mapping):
        return _range_of(name, path, said)
    if isinstance(said, list | tuple):
        return _choices(name, path, [(_text_of(each), _plain(each)) for each in said])
    text = said if isinstance(said, str) else _text_of(said)
    if found := _RANGE.fullmatch(text.strip()):
        return _range(name, path, found)
    parts = list(_parts(text, name))
    if wrong := next((part for part in parts if _ALMOST.match(part)), None):
        alone = "a range stands alone" if len(parts) > 1 else f"'{wrong}' is no range"
        raise FtError(f"--over {name}={text}: {alone}; as in 1e-5..1e-2:log, 1..8, 0.0..0.5:0.1 or depth:1..4")
    return _choices(name, path, [(part, as_tree(part, f"--over {name}={part}")) for part in parts])


def _choices(name: str, path: tuple[str, ...], values: Sequence[tuple[str, Value]]) -> Choices:
    texts = [text for text, _ in values]
    if twice := next((text for text in texts if texts.count(text) > 1), None):
        raise FtError(f"--over {name}: {twice} is there twice")
    if len(values) < 2:
        one = texts[0] if texts else ""
        raise FtError(f"--over {name}={one}: one value is nothing to choose from; fix it with --set {name}={one}")
    return Choices(name, path, tuple(values))


def _range(name: str, path: tuple[str, ...], found: re.Match[str]) -> Range:
    how = found["how"] or ""
    numbers = [found["low"], found["high"], *([how] if how not in ("", "log") else [])]
    whole = all(re.fullmatch(r"[-+]?\d+", each) for each in numbers)
    low, high, *step = (float(each) for each in numbers)
    return _checked(
        Range(
            name,
            path,
            low,
            high,
            whole and (bool(found["before"]) or not _takes_fractions(path)),
            how == "log",
            step[0] if step else None,
            found["before"] or "",
            found["unit"],
        )
    )


def _range_of(name: str, path: tuple[str, ...], said: Mapping[str, Any]) -> Range:
    """A range as a mapping says it."""
    known = {"low", "high", "log", "step"}
    numbers = [said.get(key) for key in ("low", "high", "step") if said.get(key) is not None]
    fit = all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers)
    if set(said) - known or not {"low", "high"} <= set(said) or not fit:
        raise FtError(
            f"over {name}: a range is a mapping as {{low: 0.00001, high: 0.01, log: true}} or {{low: 1, high: 9, "
            "step: 2}; values are a list"
        )
    whole = all(isinstance(each, int) for each in numbers) and not _takes_fractions(path)
    step = said.get("step")
    return _checked(
        Range(name, path, float(said["low"]), float(said["high"]), whole, bool(said.get("log")), step and float(step))
    )


def _checked(given: Range) -> Range:
    called = f"--over {given.name}"
    if not (math.isfinite(given.low) and math.isfinite(given.high)) or given.low >= given.high:
        raise FtError(f"{called}: a range goes from a smaller number to a larger one, and this is {given.low:g} to "
                      f"{given.high:g}")  # fmt: skip
    if given.log and (given.low <= 0 or given.step is not None):
        raise FtError(f"{called}: a range over logarithms begins above 0, and has no steps")
    if given.step is not None and not 0 < given.step <= given.high - given.low:
        raise FtError(f"{called}: a step of {given.step:g} does not fit into {given.low:g} to {given.high:g}")
    if given.numbers and given.step is not None:
        return replace(given, high=given.numbers[-1])  # the last step that fits
    return given


def _takes_fractions(path: tuple[str, ...]) -> bool:
    """Whether a key of the config is known to take numbers that are not whole."""
    try:
        kind = field_at(".".join(path)).annotation
    except (KeyError, AttributeError, IndexError):
        return False  # a setting of a component
    return float in (kind, *get_args(kind))


def _parts(text: str, name: str) -> Iterator[str]:
    """The values between commas, but for those inside brackets and quotes."""
    part, ends, quote = "", list[str](), ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and not part.strip():  # elsewhere it is a letter as others are
            quote = letter
        elif letter in _PAIRS:
            ends.append(_PAIRS[letter])
        elif ends and letter == ends[-1]:
            ends.pop()
        elif letter == "," and not ends:
            yield _some(part, text, name)
            part = ""
            continue
        part += letter
    if ends or quote:
        raise FtError(f"--over {name}={text}: '{ends[-1] if ends else quote}' is missing at the end")
    yield _some(part, text, name)


def _some(part: str, text: str, name: str) -> str:
    if not part.strip():
        raise FtError(f"--over {name}={text}: there is nothing between two commas, or at an end")
    return part.strip()


def _text_of(value: Any) -> str:
    """How a value is read: a component by its name and its settings."""
    if isinstance(value, Mapping) and isinstance(value.get("use"), str):
        return str(ComponentConfig.model_validate(dict(value)))
    return value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Value:
    """A value as YAML would hold it."""
    plain: Value = json.loads(json.dumps(value, default=str))
    return plain
