"""The model of a finished run, served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from ft.data.pictures import Picture
from ft.data.transforms import eval_transform, read_image
from ft.errors import FtError
from ft.extension.tasks import Answer
from ft.inference.explain import explainer, layer_of
from ft.inference.explanation import Explanation
from ft.inference.load import Trained
from ft.inference.predict import answers_or_why, answers_to, like
from ft.machine.python_display import PythonDisplay
from ft.serving.served import Served


def served_run(trained: Trained, name: str) -> Served:
    """The model of the run in the folder `name`. Images are decoded here and not by loader processes."""
    alone = replace(trained, workers=0)
    explain, lacking = _explaining(replace(alone, averaged=None, batch_size=1))
    in_one_view = trained.averaged is None and trained.together is None
    prepare, answer = _in_one_view(alone) if in_one_view else _in_views(alone)
    task = trained.task
    return Served(
        name=name,
        computed_by=trained.backbone,
        task=task.name,
        noun=task.record.noun,
        space=trained.space,
        like=like(trained),
        prepare=prepare,
        answer=answer,
        explain=explain,
        lacking=lacking,
    )


def _in_one_view(trained: Trained) -> tuple[Callable[[Picture], Any], Callable[..., Sequence[Answer | str]]]:
    transform, display = eval_transform(trained.preprocessing), PythonDisplay()

    def prepare(picture: Picture) -> torch.Tensor:
        return transform(read_image(picture, None, transform.value_range, transform.least))

    def answer(pixels: Sequence[torch.Tensor], names: Sequence[str]) -> Sequence[Answer | str]:
        return answers_to(trained, torch.stack([*pixels]), names, display)

    return prepare, answer


def _in_views(trained: Trained) -> tuple[Callable[[Picture], Any], Callable[..., Sequence[Answer | str]]]:
    """The same of a model that is asked in several views of each image, or of several models, which look at it where
    they are asked."""
    display = PythonDisplay()

    def answer(pictures: Sequence[Picture], names: Sequence[str]) -> Sequence[Answer | str]:
        return [each for some in answers_or_why(trained, pictures, display) for each in some]

    return lambda picture: picture, answer


def _explaining(trained: Trained) -> tuple[Callable[[Picture, str | None], Explanation | str] | None, str]:
    """What explains an image, or why nothing does. The layer that shows where the network looked is found once."""
    first, display = trained.space.names[0], PythonDisplay()
    try:
        layer = layer_of(trained)
        explainer(trained, first, layer)
    except FtError as error:
        return None, str(error)

    def explain(picture: Picture, of: str | None) -> Explanation | str:
        [[found]] = explainer(trained, of or first, layer)(trained, [picture], display)
        return found

    return explain, ""
