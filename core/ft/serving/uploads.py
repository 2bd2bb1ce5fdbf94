"""The images that a request brings, read within limits: the files of a form, or one image as the body."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from ft.serving.limits import Limits
from ft.serving.refusals import Refused
from ft.text.terminal import visible


@dataclass(frozen=True)
class Upload:
    """An encoded image, and what it is called."""

    name: str
    content: bytes


async def uploads_of(request: Request, limits: Limits) -> list[Upload]:
    """Read the images of a request. Raises Refused for what is none, and as soon as it is more than it may be."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > limits.body_bytes:
        raise _too_many_bytes(limits)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        found = await (_of_form(request, limits) if kind == "multipart/form-data" else _of_body(request, limits))
    except ClientDisconnect as error:
        raise Refused("disconnected", "the request ended before it was whole") from error
    if not found or not any(each.content for each in found):
        raise Refused("no-image", "there is no image; send files in a form (multipart/form-data), or one as the body")
    if len(found) > limits.images:
        raise _too_many_images(limits)
    return found


async def _of_body(request: Request, limits: Limits) -> list[Upload]:
    """One image, whatever the request says that it is."""
    content = bytearray()
    async for chunk in _within(request, limits):
        content += chunk
        _check_file("the image", len(content), limits)
    return [Upload("body", bytes(content))]


async def _of_form(request: Request, limits: Limits) -> list[Upload]:
    try:
        parser = MultiPartParser(request.headers, _within(request, limits), max_files=limits.images, max_fields=0)
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many_images(limits) from error
        if error.message.startswith("Too many fields"):
            raise Refused("multipart", "the form has a field that is no file: it has no filename") from error
        raise Refused("multipart", f"the form cannot be read: {visible(error.message)}") from error
    try:
        found = []
        for number, (_, each) in enumerate(form.multi_items()):
            assert isinstance(each, UploadFile)  # no fields are taken
            name = each.filename or f"images[{number}]"
            _check_file(visible(name), each.size or 0, limits)
            found.append(Upload(name, await each.read()))
        return found
    finally:
        await form.close()


async def _within(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    """Yield the body as it comes."""
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > limits.body_bytes:
            raise _too_many_bytes(limits)
        yield chunk


def _check_file(name: str, size: int, limits: Limits) -> None:
    if size > limits.file_bytes:
        raise Refused("file-bytes", f"{name} has more than {limits.file_bytes:,} bytes, which a file may have")


def _too_many_bytes(limits: Limits) -> Refused:
    return Refused("request-bytes", f"a request may have {limits.body_bytes:,} bytes; send fewer images at once")


def _too_many_images(limits: Limits) -> Refused:
    return Refused("images", f"a request may have {limits.images} images; send the others in another")
