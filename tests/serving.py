"""Services that tests ask over HTTP: of a model that needs no network, in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import requests
import uvicorn
from PIL import Image

from ft.data.decoding import decode_image
from ft.data.pictures import Picture
from ft.extension.tasks import Answer, LabelSpace
from ft.serving.app import make_app
from ft.serving.limits import Batching, Limits
from ft.serving.served import Served
from ft.serving.server import address_of, listening
from ft.serving.service import Service

LIMITS, BATCHING = Limits(), Batching()


@dataclass(frozen=True)
class Brightness(Answer):
    """What is answered to an image without any network."""

    value: float


def brightness(wait: Callable[[], object] = lambda: None) -> Served:
    """A model that answers how bright an image is; `wait` comes before each batch. It cannot take one of brightness 13,
    makes no number of one of 14."""

    def prepare(picture: Picture) -> float:
        return round(float(np.asarray(decode_image(picture.read())).mean()))

    def answer(images: Sequence[float], names: Sequence[str]) -> Sequence[Answer | str]:
        wait()
        if 13 in images:
            raise ValueError("the network cannot take it")
        return [
            f"no number of {name}" if each == 14 else Brightness(each) for each, name in zip(images, names, strict=True)
        ]

    space = LabelSpace(("brightness",))
    names = ("target", "targets")
    like = Brightness(0.0)
    return Served("bright", "test", "regression", names, space, like, prepare, answer, lacking="it has no layers")


def image(value: int = 100, size: tuple[int, int] = (30, 20), kind: str = "PNG") -> bytes:
    """An image of this brightness, encoded."""
    file = BytesIO()
    Image.new("RGB", size, (value, value, value)).save(file, kind)
    return file.getvalue()


class Client:
    """Asks a service at an address."""

    def __init__(self, address: str) -> None:
        self.address = address

    @property
    def place(self) -> tuple[str, int]:
        """Where a socket reaches it."""
        host, port = self.address.removeprefix("http://").split(":")
        return host, int(port)

    def get(self, path: str) -> requests.Response:
        return requests.get(self.address + path, timeout=60)

    def post(self, path: str, *contents: bytes, **more: Any) -> requests.Response:
        """Images as the files of a form, called 0.png and so on."""
        files = [("images", (f"{number}.png", content)) for number, content in enumerate(contents)]
        return requests.post(self.address + path, files=files, timeout=60, **more)

    def body(self, path: str, data: Any) -> requests.Response:
        """What the body of a request is."""
        return requests.post(self.address + path, data=data, timeout=60)

    def counted(self, name: str) -> float:
        """The number that a line of the metrics ends with."""
        lines = [line for line in self.get("/metrics").text.splitlines() if line.startswith(name + " ")]
        return float(lines[0].split()[-1]) if lines else 0.0


@contextmanager
def serving(served: Served, limits: Limits = LIMITS, batching: Batching = BATCHING) -> Iterator[Client]:
    """A block in which a model is served on this machine."""
    with listening("127.0.0.1", 0) as listens:
        app = make_app(Service(served, limits, batching, threads=4))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, args=([listens],))
        thread.start()
        try:
            yield Client(address_of(listens))
        finally:
            server.should_exit = True
            thread.join()
