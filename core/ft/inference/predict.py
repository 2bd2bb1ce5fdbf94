"""Using a finished run: rebuild its model, classify images with the training preprocessing, measure it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ft.cache.kept_images import KeptImages, find_images, kept_batches, measured_part
from ft.cache.named_rows import nothing_found
from ft.cache.store import FeatureStore
from ft.config.schema import PREDICT_BATCH, PREDICT_PRECISION, Config
from ft.data.batches import Unread
from ft.data.image_list import known_splits
from ft.data.load import ImageData, Item, number_classes, read_samples
from ft.data.loaders import explained_deaths
from ft.data.pictures import Picture, picture_of
from ft.data.readable import check_images, digest_of
from ft.data.splits import choose_splits
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Preprocessing, Sample
from ft.extension.settings import validate
from ft.extension.unpackaged import refuse_unpackaged
from ft.machine.devices import Machine, choose_machine, has_fast_bf16
from ft.machine.display import Display
from ft.machine.memory import explained_shortage
from ft.machine.signals import StopRequest
from ft.model.backbone import build_backbone
from ft.model.head import build_model
from ft.model.layer_notes import Layers, layers_of, noted_layers
from ft.run.context import Job
from ft.run.folder import Run
from ft.task.evaluation import evaluate
from ft.task.metrics import Evaluation
from ft.training.predicting import predict_batches, predict_loaded


@dataclass(frozen=True)
class Trained:
    """A finished run's model, ready to use. `config` holds what a loader needs to know, and nothing of training."""

    module: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    config: Config
    machine: Machine
    image_list: Path
    """The table of the images of the run, which says in what splits they were."""
    layers: Layers
    """Whose the layers of the network are."""


@dataclass(frozen=True)
class Prediction:
    """The most likely classes of one image, with their probabilities, the likeliest first; or none, and why."""

    path: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    error: str = ""


def load_trained(run: Run, plugins: Plugins, machine: dict[str, Any], batch_size: int, trust_code: bool) -> Trained:
    """Rebuild a finished run's model from model.json and model.safetensors.

    `machine` holds the keys of the config's machine section. Raises FtError when a plugin that the model needs is not
    installed, when files are missing or do not fit, and when the model names code by file or module and `trust_code`
    is not given.
    """
    about = run.model_file()
    plugins = plugins.preferring(about.prefer)
    tree = {
        "backbone": about.backbone,
        "head": about.head,
        "weights": "none",
        "images": {"size": about.preprocessing.crop_size},
        "machine": machine,
        "training": {"batch_size": batch_size},
        "split": about.split,
    }
    config = validate(Config, tree, "")
    if not trust_code:
        refuse_unpackaged([config.backbone.use, config.head.use], f"{run.path}/model.json")
    chosen = choose_machine(config.machine)
    if config.machine.precision == "auto" and has_fast_bf16(chosen.device):  # faster where nothing trains
        chosen = replace(chosen, precision="bf16")
    built = build_backbone(config, plugins, Display(), tensors="random")
    model = build_model(built.backbone, config.head, len(about.classes), plugins, config.seed)
    run.load_model(model.module)
    module = chosen.place(model.module).eval()
    return Trained(
        module, about.classes, about.preprocessing, config, chosen, run.path / "images.csv", layers_of(built, model)
    )


def measure_saved(run: Run, plugins: Plugins, job: Job, name: str, items: Sequence[Item]) -> Evaluation:
    """Measure what a run just saved on `items`, its images called `name`.

    The model is rebuilt from the run's files and computes as in `ft evaluate`, so these are the figures that anybody
    will get who uses it; features that were kept, and the run's precision, play no part. Decoded images that were kept
    do, being the same. Raises FtError for an image that changed since the run began, and StopAsked when a signal asks
    to stop.
    """
    asked = job.config.machine
    machine = {"device": asked.device, "precision": PREDICT_PRECISION, "workers": asked.workers}
    trained = load_trained(run, plugins, machine, PREDICT_BATCH, trust_code=True)
    job.display.say(f"measuring the saved model on {len(items)} {name} images, in {PREDICT_PRECISION} as ft evaluate")
    own = replace(job, config=trained.config, preprocessing=trained.preprocessing, machine=trained.machine)
    part = measured_part(name, items, own)
    store = FeatureStore(int(job.config.cache.disk_gb * 1e9))
    found = find_images(store, part, own) if job.config.cache.promise != "off" else nothing_found(part.rows)
    kept = None if found.missing else kept_batches(found.rows, part, own, shuffle=False)
    with _batches(trained, items, job.display, job.stop, job.data.digests, kept) as batches:
        return evaluate(_finite(batches, items), trained.classes)


def predict(trained: Trained, paths: Sequence[Path], top: int, display: Display) -> Iterator[list[Prediction]]:
    """Yield the answers for images, in the order of `paths`, as soon as each batch is done: the `top` likeliest classes
    of each image, or why there is no answer. Raises FtError for what is wrong with more than one image."""
    items = [Item(Picture.at(path), number) for number, path in enumerate(paths)]
    unread: dict[int, str] = {}
    answered = 0
    with _batches(trained, items, display, unread=unread.__setitem__) as batches:
        for logits, numbers in batches:
            there = dict(zip(numbers.tolist(), logits, strict=True))
            until = max(there) + 1
            yield [
                _answer(paths[n], there[n], trained.classes, top) if n in there else _none(paths[n], unread.pop(n))
                for n in range(answered, until)
            ]
            answered = until
    if unread:  # those behind the last that could be read
        yield [_none(paths[n], unread[n]) for n in range(answered, len(paths))]


def _answer(path: Path, logits: Tensor, classes: Sequence[str], top: int) -> Prediction:
    if not logits.isfinite().all():
        return _none(path, _no_number(str(path)))
    best = logits.softmax(0).topk(min(top, len(classes)))
    return Prediction(path, tuple(classes[i] for i in best.indices.tolist()), tuple(best.values.tolist()))


def _none(path: Path, reason: str) -> Prediction:
    return Prediction(path, (), (), reason)


def measure(trained: Trained, data: str, split: str, plugins: Plugins, display: Display) -> tuple[Evaluation, int]:
    """Evaluate on the images of `data` (a reference, or a mapping as in a config) that are in `split`; say how many.

    Where the data brings no split, an image that the run had, known by its content, is in the split it was in there,
    and a new one is split as the run split its own: "val" has no image that the run trained on. Classes are matched by
    name. Raises FtError for a class that the model does not know.
    """
    found = read_samples(validate(Config, {"backbone": "x", "data": data}, "").data, plugins)
    samples = found.samples
    splits = _splits(samples, trained) if split != "all" else dict.fromkeys(samples, "all")
    items = number_classes([s for key, s in samples.items() if splits[key] == split], trained.classes)
    if not items:
        raise FtError(f"'{found.source}' has no images in its {split} split")
    for note in found.notes:
        display.say(note)
    for warning in found.warnings:
        display.warn(warning)
    with display.progress("reading images", len(items)) as bar:
        measured = ImageData(trained.classes, (), items, (), found.source)
        ranged = trained.preprocessing.value_range is not None
        check_images(measured, "fail", bar.advance, "Mend or remove them", ranged)
    with _batches(trained, items, display) as batches:
        return evaluate(_finite(batches, items), trained.classes), len(items)


def _splits(samples: Mapping[str, Sample], trained: Trained) -> dict[str, str]:
    splits: dict[str, str] = {**choose_splits(samples, trained.config.split)}
    known = known_splits(trained.image_list)
    for key, sample in samples.items():
        before = known.get(digest_of(picture_of(sample)), set()) if sample.split is None else set[str]()
        if before and splits[key] not in before:
            splits[key] = min(before)
    return splits


@contextmanager
def _batches(
    trained: Trained,
    items: Sequence[Item],
    display: Display,
    stop: StopRequest | None = None,
    digests: Mapping[str, str] | None = None,
    kept: KeptImages | None = None,
    unread: Unread | None = None,
) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    """Give the block (logits, labels) of `items`, whose decoded images may be `kept`; without those that are `unread`,
    where somebody is told of them.

    Loader processes end with it; raises FtError for one that died.
    """
    module, machine, preprocessing = trained.module, trained.machine, trained.preprocessing
    with (
        noted_layers(trained.layers),
        explained_deaths("With --workers 0 there are none"),
        explained_shortage("Try a smaller --batch-size"),
        closing(
            predict_batches(module, items, preprocessing, trained.config, machine, display, stop, digests, unread)
            if kept is None
            else predict_loaded(module, kept, preprocessing, machine, display, stop or StopRequest())
        ) as batches,
    ):
        yield batches


def _finite(batches: Iterator[tuple[Tensor, Tensor]], items: Sequence[Item]) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches. Raises FtError for an image of which the model makes no numbers: NaN has no likeliest class."""
    seen = 0
    for logits, labels in batches:
        fine = logits.isfinite().all(1).tolist()
        if not all(fine):
            image = items[seen + fine.index(False)].picture.name
            raise FtError(_no_number(image))
        seen += len(fine)
        yield logits, labels


def _no_number(image: str) -> str:
    return f"the model makes no number (NaN or infinite) of {image}; are its files those of the run?"
