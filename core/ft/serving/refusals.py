"""Why a request or an image has no answer: a status, a word that metrics count, and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Reason = Literal[
    "no-image",
    "multipart",
    "disconnected",
    "left",
    "path",
    "slow",
    "file-bytes",
    "request-bytes",
    "images",
    "pixels",
    "format",
    "unreadable",
    "parameters",
    "no-number",
    "bug",
    "memory",
    "full",
    "time",
]

STATUS: Mapping[Reason, int] = {
    "no-image": 400,
    "multipart": 400,
    "disconnected": 400,
    "left": 499,
    "path": 404,
    "slow": 408,
    "file-bytes": 413,
    "request-bytes": 413,
    "images": 413,
    "pixels": 413,
    "format": 415,
    "unreadable": 422,
    "parameters": 422,
    "no-number": 500,
    "bug": 500,
    "memory": 503,
    "full": 503,
    "time": 504,
}
"""The status of HTTP that stands for each reason; 499 is what nginx counts where the client has left, and nobody gets
it."""

SAID: Mapping[int, str] = {
    400: "The request holds no image, or is no multipart that can be read.",
    408: "The request itself did not arrive in time.",
    413: "Too many bytes, pixels or images; the reason says of what.",
    415: "A file is no image, or none of a format that is read here.",
    422: "An image is damaged, or a parameter has no such value.",
    500: "The model makes no number of an image, or a bug; a bug is told on the service's stderr.",
    503: "Too many images wait, or memory ran out; Retry-After says when to ask again.",
    504: "The answer took longer than a request may take.",
}
"""What the documentation of the service says of each status."""

RETRY_AFTER = 1
"""Seconds after which to ask again where there was no room."""


class Refused(Exception):
    """A request, or one image, that gets no answer; where a request has several images, what is said of each."""

    def __init__(self, reason: Reason, message: str, images: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.reason, self.images = reason, images

    @property
    def status(self) -> int:
        return STATUS[self.reason]

    @property
    def headers(self) -> dict[str, str]:
        """What else the answer's head says."""
        return {"Retry-After": str(RETRY_AFTER)} if self.status == 503 else {}
