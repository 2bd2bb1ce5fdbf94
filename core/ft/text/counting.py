"""Numbers of things in words that fit them, one image, two images; and the first of many things."""

from __future__ import annotations

from collections.abc import Sequence


def number_of(number: int, one: str, many: str = "") -> str:
    """A number and what it counts: by `one` word for one of it, else by that for `many`, which is `one` with an s.

    >>> number_of(1, "image"), number_of(0, "image"), number_of(2, "class", "classes")
    ('1 image', '0 images', '2 classes')
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def written(value: float, form: str) -> str:
    """A number by one of Python's formats, but never "-0".

    >>> written(-0.0004, ".3f"), written(-0.004, ".0%"), written(-0.4, ".1f")
    ('0.000', '0%', '-0.4')
    """
    text = format(value, form)
    return text[1:] if text.startswith("-") and not any(digit in text for digit in "123456789") else text


def with_article(noun: str) -> str:
    """A noun with the article that its first letter asks for.

    >>> with_article("int"), with_article("dict"), with_article("ndarray")
    ('an int', 'a dict', 'an ndarray')
    """
    return f"{'an' if noun[:1].lower() in 'aeiou' or noun == 'ndarray' else 'a'} {noun}"


def first_lines(lines: Sequence[str], most: int = 20) -> list[str]:
    """The first of many lines, and how many more there are."""
    return [*lines[:most], *([f"... and {len(lines) - most} more"] if len(lines) > most else [])]


def some_names(names: Sequence[str]) -> str:
    """The first ten of many names, and how many more there are."""
    return ", ".join(first_lines(names, 10))
