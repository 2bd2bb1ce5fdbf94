"""A finished run's model in Python: asked about paths, pictures, arrays and tensors, alike and in one way."""

from __future__ import annotations

import array
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast, overload

import torch
from torch import Tensor, nn

from ft.data.load import first_lines
from ft.data.pictures import Picture
from ft.data.transforms import eval_transform, normalise, read_image
from ft.errors import FtError
from ft.extension.records import Preprocessing
from ft.inference.given_images import One, Pixels, in_groups, is_one, kind_of
from ft.inference.load import Trained
from ft.inference.predict import logits_or_why
from ft.machine.python_display import PythonDisplay
from ft.text.counting import number_of


@dataclass(frozen=True)
class Answer:
    """What a model says of one image. `image` is its path as it was given, "" for an image that is no file."""

    image: str
    classes: tuple[str, ...]
    _shares: array.array[float]
    """In the order of `classes`; a mapping for each of 100,000 images and 1,000 classes would take 10 GB."""

    @property
    def label(self) -> str:
        """The likeliest class."""
        return self.classes[self._shares.index(self.probability)]

    @property
    def probability(self) -> float:
        """How likely that is, 0 to 1."""
        return max(self._shares)

    @property
    def probabilities(self) -> dict[str, float]:
        """Class name -> probability, the likeliest first; together they are 1."""
        return dict(sorted(zip(self.classes, self._shares, strict=True), key=lambda pair: -pair[1]))

    def __repr__(self) -> str:
        said = ", ".join(f"{name} {share:.1%}" for name, share in list(self.probabilities.items())[:3])
        return f"<{self.image}: {said}>" if self.image else f"<{said}>"


class LoadedModel:
    """The model of a finished run, in evaluation mode; `ft.load` makes it. Several threads may ask it at once.

    `path` is the run's folder, `classes` are the names in the order of the logits, `preprocessing` says what is done to
    an image before the network sees it, `module` is the network with its normalisation.
    """

    def __init__(self, trained: Trained, path: Path) -> None:
        self._trained, self.path = trained, path
        self.module = Normalised(trained.module, trained.preprocessing, trained.machine.channels_last)

    @property
    def classes(self) -> tuple[str, ...]:
        return self._trained.classes

    @property
    def preprocessing(self) -> Preprocessing:
        return self._trained.preprocessing

    def __repr__(self) -> str:
        size = self.preprocessing.crop_size
        return f"<{self._trained.backbone} of {self.path}, {len(self.classes)} classes, {size} px>"

    @overload
    def predict(  # type: ignore[overload-overlap]  # a text is one path, although it is iterable
        self, images: One, *, bad_images: Literal["fail"] = "fail"
    ) -> Answer: ...
    @overload
    def predict(self, images: Pixels, *, bad_images: Literal["fail", "skip"] = "fail") -> Any: ...
    @overload
    def predict(self, images: Iterable[One | Pixels], *, bad_images: Literal["fail"] = "fail") -> list[Answer]: ...
    @overload
    def predict(self, images: Iterable[One | Pixels], *, bad_images: Literal["skip"]) -> list[Answer | None]: ...

    def predict(self, images: Any, *, bad_images: Literal["fail", "skip"] = "fail") -> Any:
        """Classify one image or many, preprocessed as in training: one answer, or a list of them in the same order.

        An image is a path, the bytes of an encoded file, a PIL image in any mode (turned as its EXIF data say), an
        array [H, W, 3] or [H, W], or a tensor [3, H, W] or [H, W], of uint8, in RGB; an array [H, W, 4] is RGBA, seen
        on white, and one [H, W] may be bool (True is white) or uint16, too. Many are any iterable of such, or
        a batch [N, H, W, 3] or [N, 3, H, W]. Of a generator's images no more than a batch is in memory at a time.
        Files are decoded by as many processes as `ft predict` has, and get the same probabilities, bit for bit.

        Raises FtError for what is no image and for one that cannot be read; with bad_images="skip" the answer to that
        is None, and one FtWarning names all such.
        """
        if bad_images not in ("fail", "skip"):
            raise FtError(f"bad_images is 'fail' or 'skip', not {bad_images!r}")
        answers: list[Answer | None] = []
        unread: list[str] = []
        for picture, logits in self._logits(images):
            if isinstance(logits, str):
                if bad_images == "fail":
                    raise FtError(logits if is_one(images) else f'{logits}\nbad_images="skip" answers None to such')
                unread.append(logits)
            answers.append(None if isinstance(logits, str) else _answer(picture, logits, self.classes))
        if unread:
            listed = "".join(f"\n  {line}" for line in first_lines(unread))
            said = "has no answer" if len(unread) == 1 else "have no answer"
            PythonDisplay().warn(f"{len(unread)} of {number_of(len(answers), 'image')} {said}:{listed}")
        return answers[0] if is_one(images) else answers

    def embed(self, images: One | Pixels | Iterable[One | Pixels]) -> Tensor:
        """Return what the head reads of images as `predict` takes them: features [N, D] in float32 on the CPU, or [D]
        of one. Of a head that reads a map [N, D, H, W], that is its mean over all places.

        Raises FtError as `predict` does.
        """
        rows: list[Tensor] = []
        with _read_by(self._head()) as features:
            for _, logits in self._logits(images):
                if isinstance(logits, str):
                    raise FtError(logits)
                rows += features
                features.clear()
        together = torch.cat(rows) if rows else torch.empty(0, self._width())
        return together[0] if is_one(images) else together

    def prepare(self, images: One | Pixels | Iterable[One | Pixels]) -> Tensor:
        """Return images, given as `predict` takes them, as `predict` sees them: uint8 [N, 3, S, S] on the CPU, which
        `module` takes (on the model's device). One image is N = 1, and one of S x S pixels is resized and cropped, too.

        All are in memory at a time. Raises FtError for what is no image and for one that cannot be read.
        """
        transform, side = eval_transform(self.preprocessing), self.preprocessing.crop_size
        many: Iterable[Any] = [images] if is_one(images) else cast(Iterable[Any], images)
        prepared = [
            transform(read_image(picture, None, transform.value_range, transform.least))
            for _, some in in_groups(many, self._trained.batch_size)
            for picture in some
        ]
        return torch.stack(prepared) if prepared else torch.empty(0, 3, side, side, dtype=torch.uint8)

    def _logits(self, images: Any) -> Iterator[tuple[Picture, Tensor | str]]:
        """Each image with its logits [C], or why there are none."""
        many = [images] if is_one(images) else images
        in_memory = replace(self._trained, workers=0)
        for are_files, pictures in in_groups(many, self._trained.batch_size):
            got = logits_or_why(self._trained if are_files else in_memory, pictures, PythonDisplay())
            yield from zip(pictures, chain.from_iterable(got), strict=True)

    def _head(self) -> nn.Module:
        return self._trained.module.get_submodule(self._trained.layers.head_paths[0])

    def _width(self) -> int:
        side = self.preprocessing.crop_size
        with _read_by(self._head()) as features, torch.no_grad():
            self.module(torch.zeros(1, 3, side, side, dtype=torch.uint8, device=self._trained.machine.device))
        return features[0].shape[1]


class Normalised(nn.Module):
    """A network that takes uint8 images [N, 3, S, S] in RGB, S being the size it was trained with, and normalises them
    itself; it returns logits [N, C] in float32, whose softmax are the probabilities of `predict` in fp32."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, channels_last: bool) -> None:
        super().__init__()
        self.network, self.preprocessing = network, preprocessing
        self._layout = torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, images: Tensor) -> Tensor:
        """Raises FtError for images of another type or form."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise FtError(
                f"module takes uint8 images [N, 3, S, S] and normalises them itself; this is {list(images.shape)} of "
                f"{kind_of(images)}"
            )
        logits: Tensor = self.network(normalise(images, self.preprocessing).to(memory_format=self._layout))
        return logits.float()


def _answer(picture: Picture, logits: Tensor, classes: tuple[str, ...]) -> Answer:
    shares = array.array("f", logits.softmax(0).numpy().tobytes())
    return Answer("" if picture.path is None else picture.name, classes, shares)


@contextmanager
def _read_by(head: nn.Module) -> Iterator[list[Tensor]]:
    """A block in which the list gets, of every batch that this thread runs, what a head reads of it: [N, D]."""
    owner, read = threading.get_ident(), list[Tensor]()

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if threading.get_ident() == owner:
            given = inputs[0].detach().float()
            read.append((given if given.ndim == 2 else given.flatten(2).mean(2)).cpu())

    handle = head.register_forward_pre_hook(keep)
    try:
        yield read
    finally:
        handle.remove()
