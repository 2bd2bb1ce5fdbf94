"""What of a PNG file says how its pixels look, and nothing else."""

from __future__ import annotations

import struct
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT")
_IEND = b"\0\0\0\0IEND\xaeB`\x82"


def bare_png(content: bytes) -> bytes:
    """Return a PNG without text, colour profile and other chunks that decide over no pixel; what is no PNG, as it is.

    A chunk that the end of the file cuts off is kept where it holds pixels, so that they are still seen to be missing.
    """
    if not content.startswith(SIGNATURE):
        return content
    kept = [chunk for name, chunk in _chunks(content) if name in _KEPT]
    return b"".join([SIGNATURE, *kept, _IEND])


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, whole chunk): length, name, data and checksum."""
    at = len(SIGNATURE)
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        name = content[at + 4 : at + 8]
        if name == b"IEND":
            return
        yield name, content[at : at + 12 + length]
        at += 12 + length
