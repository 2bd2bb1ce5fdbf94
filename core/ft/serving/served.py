"""A model as a service asks it, whoever computes it: torch or the program of an exported file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ft.data.pictures import Picture
from ft.extension.tasks import Answer, LabelSpace, Noun

if TYPE_CHECKING:
    from ft.inference.explanation import Explanation


@dataclass(frozen=True, eq=False)
class Served:
    """What is asked, and how.

    `name` is the folder, `computed_by` its backbone or format, `noun` what the task calls its names, and `like` an
    answer that an image might get. `prepare` makes of an encoded image what the network takes, in any thread, and
    raises whatever is wrong with it. `answer` says of a batch of such, and their names, what the answers are, or why
    there is none; one thread calls it. `explain`, in that thread, too, finds where in an image the output of a name
    comes from, or the first; it is None where that is `lacking`, which says why.
    """

    name: str
    computed_by: str
    task: str
    noun: Noun
    space: LabelSpace
    like: Answer
    prepare: Callable[[Picture], Any]
    answer: Callable[[Sequence[Any], Sequence[str]], Sequence[Answer | str]]
    explain: Callable[[Picture, str | None], Explanation | str] | None = None
    lacking: str = ""


def picture_in(content: bytes, name: str) -> Picture:
    """An encoded image that is in memory."""
    return Picture(name, open=lambda: content)
