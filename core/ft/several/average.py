"""The average of the weights of several runs of one network: of all, or of those that go well together (a greedy soup:
Wortsman et al. 2022). It lies in a folder as a run's."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ft.data.dataset import ImageDataset
from ft.data.image_list import ListedImage
from ft.data.load import Item
from ft.data.targets import targets_of
from ft.data.transforms import eval_transform, network_input
from ft.extension.tasks import LabelSpace
from ft.inference.load import Trained
from ft.insight.sureness import how_sure, warned_of
from ft.machine.display import Display
from ft.machine.files import sha256_of, whole_folder
from ft.model.state_dict import put_tensors
from ft.run.checkpoints import load_tensors, save_tensors
from ft.run.folder import Run
from ft.run.new import check_free
from ft.run.outputs import write_outputs
from ft.run.position import merit
from ft.run.records import AVERAGE
from ft.several.folder import COPIED, copy_files, write_together
from ft.several.judged import Together
from ft.several.members import (
    MEASURED,
    Member,
    answers_of,
    check_alike,
    computed,
    images_in,
    items_of,
    parts_of,
    shared_space,
    told_of_beginnings,
    told_of_images,
)
from ft.task.chosen import ChosenTask
from ft.task.evaluation import Answered, Evaluation, evaluate
from ft.task.sure import Judged
from ft.text.counting import number_of
from ft.training.batchnorm import counted_anew
from ft.training.predicting import loader_of
from ft.training.soup import Made, Mean, Tensors, greedy_soup

NETWORK = ("backbone", "head", "task", "classes", "outputs", "preprocessing")
"""What of model.json has to be the same in runs whose weights are averaged."""
How = Literal["greedy", "uniform"]


def average_runs(
    members: Sequence[Member], how: How, out: Path, load: Callable[[Run], Trained], display: Display
) -> tuple[ChosenTask, Together]:
    """Average the weights of runs, measure what came of it on images that trained none of them, and write it to the
    folder `out`, as that of a run: whole, or nothing.

    Statistics of BatchNorm that differ between the runs are measured anew over the training images. Raises FtError
    where the runs are not of one network, where no image is left to measure on, and for images that are not there any
    more.
    """
    check_free(out, "--out")
    check_alike(members, NETWORK)
    trained = load(members[0].run)
    task, images = trained.task, images_in(members, parts_of(members))
    kitchen = _Kitchen(members, trained, shared_space(members, task), images, display)
    with whole_folder(out) as folder:
        for told in (told_of_images(members, images), told_of_beginnings(members)):
            if told:
                display.warn(told)
        alone = {str(each): kitchen.alone(each) for each in members}
        monitor = task.figure(members[0].run.config(trust_code=True).training.monitor)  # nothing is imported here
        ranked = sorted(members, key=lambda each: merit(alone[str(each)]["val"], monitor), reverse=True)
        if how == "uniform":
            made = kitchen.measured(members, kitchen.mean(members))
        else:
            pairs = [(each, alone[str(each)]["val"]) for each in ranked]
            made = greedy_soup(pairs, kitchen.weights, kitchen.measured, monitor)
        answers = kitchen.answers(made.tensors)
        kitchen = replace(kitchen, space=task.calibrate(*answers["val"], kitchen.space))
        measured = {split: dict(evaluate([each], task, kitchen.space).figures) for split, each in answers.items()}
        counts = {split: len(outputs) for split, (outputs, _) in answers.items()}
        found = Together(monitor, alone, measured, tuple(str(each) for each in made.of), counts)
        _write(folder, ranked[0], made, kitchen, answers, found)
    return task, found


@dataclass(frozen=True, eq=False)
class _Kitchen:
    """What averages are made and tried with: the network that gets their weights, the images of all runs by their
    parts, and the label space without what is chosen of validation images."""

    members: Sequence[Member]
    trained: Trained
    space: LabelSpace
    images: Mapping[str, Sequence[ListedImage]]
    display: Display

    def items(self, split: str) -> list[Item]:
        return items_of(self.images[split], self.trained.task, self.space)

    @property
    def measured_on(self) -> list[str]:
        """The parts that did not train, as far as there are images."""
        return [split for split in MEASURED if self.images[split]]

    def alone(self, member: Member) -> dict[str, dict[str, float]]:
        """The figures of a run."""

        def load() -> Trained:
            put_tensors(self.trained.module, self.weights(member))
            return self.trained

        found = {}
        for split in self.measured_on:
            items = self.items(split)
            outputs = answers_of(member, self.images[split], items, load, self.display)
            answered = [(outputs, targets_of(items))]
            found[split] = dict(evaluate(answered, self.trained.task, member.about.space).figures)
        return found

    def weights(self, member: Member) -> Tensors:
        return load_tensors(member.run.path / "model.safetensors")

    def mean(self, members: Sequence[Member]) -> Tensors:
        mean = Mean()
        for each in members:
            mean.add(self.weights(each))
        return mean.tensors()

    def measured(self, members: Sequence[Member], tensors: Tensors) -> Made[Member]:
        """Put averaged tensors into the network, have it measure its BatchNorm statistics anew, and validate it."""
        put_tensors(self.trained.module, tensors)
        self._recount(members)
        own = {name: tensor.detach().cpu().clone() for name, tensor in self.trained.module.state_dict().items()}
        answered, task = self._answered("val"), self.trained.task
        val = evaluate([answered], task, task.calibrate(*answered, self.space)).figures
        return Made(tuple(members), own, val)

    def answers(self, tensors: Tensors) -> dict[str, Answered]:
        """What the network answers with these tensors, by split."""
        put_tensors(self.trained.module, tensors)
        return {split: self._answered(split) for split in self.measured_on}

    def _answered(self, split: str) -> Answered:
        items = self.items(split)
        return computed(self.trained, self.images[split], items, self.display), targets_of(items)

    def _recount(self, members: Sequence[Member]) -> None:
        """Measure those statistics of BatchNorm over the training images that are not the same in all runs: the others
        stood still, and fit as they are."""
        module, first = self.trained.module, self.weights(members[0])
        others = [self.weights(each) for each in members[1:]]
        layers = [
            layer
            for path, layer in module.named_modules()
            if isinstance(layer, _BatchNorm)
            and (name := f"{path}.running_mean") in first
            and not all(first[name].equal(each[name]) for each in others)
        ]
        if not layers:
            return
        self._follow(layers)

    def _follow(self, layers: Sequence[_BatchNorm]) -> None:
        """Measure the statistics of layers over the training images, as evaluation sees them."""
        items, looking = self.items("train"), self.trained.looking(self.display)
        digests = _digests(items, self.images["train"])
        random.Random(0).shuffle(items)  # of one class after the other, each batch would be of one class
        counted = number_of(len(layers), "BatchNorm layer")
        self.display.say(f"measuring the statistics of {counted} on {number_of(len(items), 'training image')}")
        dataset = ImageDataset(items, eval_transform(looking.preprocessing), seed=None, digests=digests)
        self.trained.module.eval()
        with counted_anew(layers), closing(loader_of(dataset, looking, shuffle=False)) as loader, torch.no_grad():
            for layer in layers:
                layer.train()
            for pixels, _, _ in loader.epoch(0):
                if len(pixels) > 1:  # which has a variance
                    with looking.machine.autocast():
                        self.trained.module(network_input(pixels, looking.preprocessing, looking.machine))
        self.trained.module.eval()


def _digests(items: Sequence[Item], images: Sequence[ListedImage]) -> dict[str, str]:
    return {item.picture.name: image.digest for item, image in zip(items, images, strict=True)}


def _write(
    folder: Path, best: Member, made: Made[Member], kitchen: _Kitchen, answers: Mapping[str, Answered], found: Together
) -> None:
    """Write the folder: as that of the best run, with other weights, images and figures."""
    task, space = kitchen.trained.task, kitchen.space
    copy_files(best.run.path, folder, COPIED)
    write_together(folder, kitchen.members, kitchen.images)
    write_outputs(folder, {split: outputs for split, (outputs, _) in answers.items()})
    whose = {str(each): sha256_of(each.run.path / "model.safetensors") for each in kitchen.members}
    taken = ", ".join(found.taken)
    weights = {"entry": f"average of {number_of(len(found.taken), 'run')}", "source": taken}
    provenance = {**best.about.provenance, "weights": weights, "runs": whose}
    run = Run(folder)
    run.write_model_file(best.about.model_copy(update={"numbers": dict(space.numbers), "provenance": provenance}))
    save_tensors(folder / "model.safetensors", made.tensors)
    evaluations = {split: evaluate([each], task, space) for split, each in answers.items()}
    judged_by = "test" if "test" in answers else "val"
    judged = _judged(kitchen, space, judged_by, answers[judged_by], evaluations[judged_by])
    said = f"the curves, what trained and what it took are those of {best}, the best of the runs that were averaged"
    report = {
        **best.run.read_json("report.json"),
        "val": evaluations["val"].plain(),
        "test": evaluations["test"].plain() if "test" in evaluations else None,
        "judged": judged.plain(),
        "images": {split: len(each) for split, each in kitchen.images.items()},
        "warnings": [said],
    }
    run.write_json("report.json", {key: value for key, value in report.items() if key != "before"})
    run.write_json(AVERAGE, {**found.plain(), "sha256": whose})


def _judged(kitchen: _Kitchen, space: LabelSpace, split: str, answers: Answered, found: Evaluation) -> Judged:
    task, train = kitchen.trained.task, targets_of(kitchen.items("train"))
    sure = how_sure(task, space, train, found.figures, len(answers[0]), answers)
    return Judged(split, len(answers[0]), sure, warned_of(task, space, answers))
