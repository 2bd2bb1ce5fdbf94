"""Several runs that answer together: the average of their answers, in a folder that is used as a run's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import torch

from ft.data.load import Item
from ft.data.targets import targets_of
from ft.inference.load import Trained
from ft.machine.display import Display
from ft.machine.files import sha256_of, whole_folder
from ft.run.folder import Run
from ft.run.new import check_free
from ft.run.outputs import write_outputs
from ft.run.records import ENSEMBLE
from ft.several.folder import OF_A_MEMBER, copy_files, write_together
from ft.several.judged import Together
from ft.several.members import (
    MEASURED,
    Member,
    answers_of,
    check_alike,
    images_in,
    items_of,
    parts_of,
    shared_space,
    told_of_images,
)
from ft.task.chosen import ChosenTask
from ft.task.evaluation import evaluate

QUESTION = ("task", "classes", "outputs")
"""What of model.json has to be the same in runs that answer together; their backbones may differ."""


def ensemble_runs(
    members: Sequence[Member], out: Path, load: Callable[[Run], Trained], display: Display
) -> tuple[ChosenTask, Together]:
    """Measure the average of what runs answer on images that trained none of them, and write a folder `out` with a
    copy of each: whole, or nothing.

    What their task chooses on validation images, as the temperature, is chosen anew for the average, of which each
    model then counts alike (Rahaman & Thiery 2021, "Uncertainty quantification and deep ensembles": pool, then
    calibrate). Outputs that the runs kept are not computed again. Raises FtError where the runs are not of one task and
    its classes, and where no image is left to measure on.
    """
    check_free(out, "--out")
    check_alike(members, QUESTION)
    loads = {member: cache(partial(load, member.run)) for member in members}
    task = loads[members[0]]().task
    images, space = images_in(members, parts_of(members)), shared_space(members, task)
    with whole_folder(out) as folder:
        if told := told_of_images(members, images):
            display.warn(told)
        items: dict[str, list[Item]] = {part: items_of(images[part], task, space) for part in MEASURED if images[part]}
        every = {
            member: {
                part: answers_of(member, images[part], some, loads[member], display) for part, some in items.items()
            }
            for member in members
        }
        pooled = {part: task.average(torch.stack([each[part] for each in every.values()]), space) for part in items}
        targets = {part: targets_of(some) for part, some in items.items()}
        read = task.calibrate(pooled["val"], targets["val"], space)
        alone = {
            str(member): {
                part: dict(evaluate([(each[part], targets[part])], task, member.about.space).figures) for part in items
            }
            for member, each in every.items()
        }
        made = {part: dict(evaluate([(pooled[part], targets[part])], task, read).figures) for part in items}
        counts = {part: len(some) for part, some in items.items()}
        found = Together(task.figure(None), alone, made, tuple(alone), counts)
        names = [f"member-{number}" for number in range(1, len(members) + 1)]
        for name, member in zip(names, members, strict=True):
            (folder / name).mkdir()
            copy_files(member.run.path, folder / name, OF_A_MEMBER)
        write_together(folder, members, images)
        write_outputs(folder, pooled)
        numbers = {"pooled": dict(space.numbers), "numbers": dict(read.numbers)}
        whose = {str(each): sha256_of(each.run.path / "model.safetensors") for each in members}
        Run(folder).write_json(ENSEMBLE, {"members": names, **numbers, **found.plain(), "sha256": whose})
    return task, found
