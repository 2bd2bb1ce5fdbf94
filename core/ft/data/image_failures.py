"""Why an image could not be read: because of what it is, or because of the machine, which says nothing of the image."""

from __future__ import annotations

import errno
import re

from PIL import UnidentifiedImageError

from ft.data.image_files import readable_formats
from ft.errors import FtError
from ft.machine.memory import is_out_of_memory

_TRY_AGAIN = "Run the same command again once that is mended"
_NO_FILES = "Raise the limit of open files (ulimit -n), or use fewer --workers"
_NUMBERS = (
    *("EMFILE", "ENFILE", "EIO", "ESTALE", "ETIMEDOUT", "ENXIO", "ENODEV", "ENOTCONN", "ECONNRESET", "ECONNABORTED"),
    *("ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "EREMOTEIO", "ENOLINK", "ESHUTDOWN"),
    *("EAGAIN", "ENOBUFS", "ENOLCK"),
)
_OF_THE_MACHINE = {getattr(errno, name): name for name in _NUMBERS if hasattr(errno, name)}
"""What the system says of a disk or a network that does not answer, or of its own limits.

A file that is gone, is no plain file, or may not be read is not among them: that is so of this one file, and stays so.
"""
_PILLOW = re.compile(r"^out of memory error")
"""How Pillow's decoders say it."""


class MachineFailed(FtError):
    """An image could not be read, which tells nothing of the image."""


def failure_of(error: Exception, name: str) -> str:
    """Say in a few words what is wrong with the image `name`, whose reading raised `error`.

    Raises MachineFailed where that tells nothing of the image, which may be a good one: memory ran out, the system
    opens no more files, or the disk does not answer.
    """
    if is_out_of_memory(error) or (isinstance(error, OSError) and _PILLOW.match(str(error))):
        raise MachineFailed(
            f"memory ran out while the image {name} was read, which may be a good one. Close other programs, or use "
            "fewer --workers; if it is always this image, make it smaller or move it away"
        ) from error
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        what_next = _NO_FILES if _OF_THE_MACHINE[error.errno] in ("EMFILE", "ENFILE") else _TRY_AGAIN
        raise MachineFailed(
            f"the image {name} could not be read ({error.strerror or error}), which may be a good one. {what_next}"
        ) from error
    return describe_failure(error)


def describe_failure(error: Exception) -> str:
    """Say in a few words why an image could not be decoded."""
    if isinstance(error, UnidentifiedImageError):
        return f"not an image, or not one of {', '.join(readable_formats())}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{error}" or type(error).__name__
