"""By what an image is known again, wherever it lies and whatever it is called."""

from __future__ import annotations

from ft.data.image_failures import failure_of
from ft.data.pictures import Picture


def digest_of(picture: Picture) -> str:
    """The sha256 of an image's content, or why it cannot be read. Raises FtError where the machine failed."""
    try:
        return picture.digest()
    except Exception as error:  # also what a data source raises that opens it
        return f"unreadable: {failure_of(error, picture.name)}"
