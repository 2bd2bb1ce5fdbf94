"""A finished run's model in Python: asked about paths, pictures, arrays and tensors, alike and in one way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, overload

import torch
from torch import Tensor

from ft.data.pictures import Picture
from ft.data.transforms import eval_transform, read_image
from ft.errors import FtError
from ft.extension.records import Preprocessing
from ft.extension.tasks import Answer
from ft.inference.explain import explainer
from ft.inference.explanation import Explanation
from ft.inference.familiar_images import familiar_images
from ft.inference.given_images import One, Pixels, in_groups, is_one
from ft.inference.load import Trained
from ft.inference.normalised import Normalised
from ft.inference.predict import answers_or_why, seen_or_why
from ft.insight.familiar import Familiar, unlikeness
from ft.machine.display import Display
from ft.machine.python_display import PythonDisplay
from ft.model.reading import read_by
from ft.text.counting import first_lines, number_of

T = TypeVar("T")
Ask = Callable[[Trained, Sequence[Picture], Display], Iterator[list[T | str]]]


class LoadedModel:
    """The model of a finished run, in evaluation mode; `ft.load` makes it. Several threads may ask it at once.

    `path` is the run's folder, `classes` are the names of the label space, for classes in the order of the outputs,
    `preprocessing` says what is done to an image before the network sees it, `module` is the network with its
    normalisation, and `numbers` are what its outputs are read with. With `tta`, `predict` and `uncertainty` are of
    several views of each image; everything else is of the image as it is.
    """

    def __init__(self, trained: Trained, path: Path) -> None:
        self._trained, self.path = trained, path
        self._in_one_view = replace(trained, averaged=None)
        self._familiar: Familiar | None = None
        self._module = Normalised(trained.module, trained.preprocessing, trained.machine.channels_last)

    @property
    def module(self) -> Normalised:
        """The network with its normalisation. Raises FtError for an ensemble, which has several."""
        self._trained.alone("module")
        return self._module

    @property
    def classes(self) -> tuple[str, ...]:
        return self._trained.space.names

    @property
    def numbers(self) -> Mapping[str, tuple[float, ...]]:
        """What else is needed to read the outputs of `module`: the "temperature" by which the logits of classes are
        divided, the "thresholds" of labels, "mean" and "std" of the targets of regression."""
        return self._trained.space.numbers

    @property
    def preprocessing(self) -> Preprocessing:
        return self._trained.preprocessing

    def __repr__(self) -> str:
        size, noun = self.preprocessing.crop_size, self._trained.task.record.noun
        return f"<{self._trained.backbone} of {self.path}, {number_of(len(self.classes), *noun)}, {size} px>"

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
        """Answer to one image or many, preprocessed as in training: one answer, or a list of them in the same order.

        What an answer holds is the task's: `label`, `probability` and `probabilities` of classification, `labels` and
        `probabilities` of multilabel, `value` or `values` of regression.

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
        for picture, answer in self._asked(images, answers_or_why):
            if isinstance(answer, str):
                if bad_images == "fail":
                    raise FtError(answer if is_one(images) else f'{answer}\nbad_images="skip" answers None to such')
                unread.append(answer)
            name = "" if picture.path is None else picture.name
            answers.append(None if isinstance(answer, str) else replace(answer, image=name))
        if unread:
            listed = "".join(f"\n  {line}" for line in first_lines(unread))
            said = "has no answer" if len(unread) == 1 else "have no answer"
            PythonDisplay().warn(f"{len(unread)} of {number_of(len(answers), 'image')} {said}:{listed}")
        return answers[0] if is_one(images) else answers

    def embed(self, images: One | Pixels | Iterable[One | Pixels]) -> Tensor:
        """Return what the head reads of images as `predict` takes them: features [N, D] in float32 on the CPU, or [D]
        of one, as they are, without `tta`. Of a head that reads a map [N, D, H, W], that is its mean over all places.

        Raises FtError as `predict` does.
        """
        rows: list[Tensor] = []
        for _, seen in self._asked(images, partial(seen_or_why, features=True), self._in_one_view):
            if isinstance(seen, str):
                raise FtError(seen)
            rows.append(seen.features)
        together = torch.stack(rows) if rows else torch.empty(0, self._width())
        return together[0] if is_one(images) else together

    def unlike(self, images: One | Pixels | Iterable[One | Pixels]) -> Any:
        """Say how unlike the images that it was trained on images are, given as `predict` takes them: a number, or a
        list of them. Above 1 they are unknown, as 5 % of the validation images are; the answer to such an image is
        worth little, however sure it is.

        What the model is familiar with lies in the run's folder; where it does not, it is computed from the run's
        images, once. Raises FtError as `predict` does, and where these are elsewhere.
        """
        if self._familiar is None:
            self._familiar = familiar_images(self._trained, self.path, PythonDisplay())
        features = self.embed(images)
        found = unlikeness(features[None] if is_one(images) else features, self._familiar).tolist()
        return found[0] if is_one(images) else found

    def uncertainty(self, images: One | Pixels | Iterable[One | Pixels]) -> Any:
        """Say how uncertain the answers to images are, given as `predict` takes them: a number, or a list of them, the
        largest of the images that labelling would teach most.

        Raises FtError as `predict` does, and for a task that does not say it.
        """
        task, space, found = self._trained.task, self._trained.space, list[float]()
        for _, seen in self._asked(images, seen_or_why):
            if isinstance(seen, str):
                raise FtError(seen)
            found += task.uncertainty(seen.outputs[None], space).tolist()
        return found[0] if is_one(images) else found

    @overload
    def explain(self, images: One, of: str | None = None) -> Explanation: ...  # type: ignore[overload-overlap]
    @overload
    def explain(self, images: Pixels, of: str | None = None) -> Any: ...
    @overload
    def explain(self, images: Iterable[One | Pixels], of: str | None = None) -> list[Explanation]: ...

    def explain(self, images: Any, of: str | None = None) -> Any:
        """Say where in images, given as `predict` takes them, lies what the answer comes from, or the output that is
        called `of`: an Explanation, or a list of them.

        Raises FtError as `predict` does, for a model that was loaded with `tta`, for a name that is none of the label
        space, for a task of several outputs none of which is the answer alone where no name is given, and for a network
        without places.
        """
        if self._trained.averaged is not None:
            raise FtError(
                "an explanation is of one view of an image, and this model answers to several "
                f"({self._trained.averaged}); load it without tta"
            )
        found: list[Explanation] = []
        for _, each in self._asked(images, explainer(self._trained, of)):
            if isinstance(each, str):
                raise FtError(each)
            found.append(each)
        return found[0] if is_one(images) else found

    def prepare(self, images: One | Pixels | Iterable[One | Pixels]) -> Tensor:
        """Return images, given as `predict` takes them, as `predict` sees them: uint8 [N, 3, S, S] on the CPU, which
        `module` takes (on the model's device). One image is N = 1, and one of S x S pixels is resized and cropped, too.

        All are in memory at a time. Raises FtError for what is no image and for one that cannot be read.
        """
        self._trained.alone("prepare")
        transform, side = eval_transform(self.preprocessing), self.preprocessing.crop_size
        many: Iterable[Any] = [images] if is_one(images) else cast(Iterable[Any], images)
        prepared = [
            transform(read_image(picture, None, transform.value_range, transform.least))
            for _, some in in_groups(many, self._trained.batch_size)
            for picture in some
        ]
        return torch.stack(prepared) if prepared else torch.empty(0, 3, side, side, dtype=torch.uint8)

    def _asked(self, images: Any, ask: Ask[T], trained: Trained | None = None) -> Iterator[tuple[Picture, T | str]]:
        """Each image with what it is asked for, or why there is none."""
        many = [images] if is_one(images) else images
        asked = trained or self._trained
        in_memory = replace(asked, workers=0)
        for are_files, pictures in in_groups(many, asked.batch_size):
            got = ask(asked if are_files else in_memory, pictures, PythonDisplay())
            yield from zip(pictures, chain.from_iterable(got), strict=True)

    def _width(self) -> int:
        side = self.preprocessing.crop_size
        with read_by(self._trained.head) as features, torch.no_grad():
            self.module(torch.zeros(1, 3, side, side, dtype=torch.uint8, device=self._trained.machine.device))
        return features[0].shape[1]
