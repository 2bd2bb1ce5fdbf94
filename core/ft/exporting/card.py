"""The model card, README.md in the form of the Hugging Face Hub: what the model is for, how good it is and how that is
known, what it does not do, whose weights and images it is made of, how it is used."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import PurePath
from typing import Any

from ft.exporting.beside import use_of
from ft.exporting.records import ExportFile
from ft.exporting.text import taken
from ft.extension.exporters import Exporter
from ft.extension.tasks import Figure
from ft.reporting.finished import Finished
from ft.run.records import ModelFile
from ft.run.summaries import figures_in
from ft.text.counting import number_of, some_names
from ft.text.documents import as_yaml
from ft.text.names import as_text

_OTHERS = "everything else, as files of another kind of image, gets an answer all the same, and it is worth nothing"


def without_places(about: ModelFile) -> ModelFile:
    """What model.json says, without where images and weights lay on the machine that trained."""
    weights = about.provenance.get("weights")
    kept = {"weights": weights} if isinstance(weights, dict) else {}
    return about.model_copy(update={"provenance": {**kept, "versions": about.provenance.get("versions", {})}})


def card_of(finished: Finished, about: ExportFile, record: Exporter) -> str:
    """The text of README.md."""
    lines = [*_front(finished), "", f"# {finished.task.name} with {_shown(about.model.backbone.use)}", ""]
    for title, part in (
        ("What it answers", _answers(finished)),
        ("Figures", _figures(finished, about)),
        ("Limits", _limits(finished, about)),
        ("Weights, images and their licences", _licences(finished)),
        ("How to use it", _use(about, record)),
    ):
        lines += [f"## {title}", "", *part, ""]
    return "\n".join(as_text(line) for line in lines)


def _front(finished: Finished) -> list[str]:
    """What the Hub reads: YAML between two rules."""
    tag = finished.task.record.pipeline_tag
    front: dict[str, Any] = {"library_name": "ftkit", "license": "unknown", "tags": ["ftkit", "image"]}
    if tag:
        front = {**front, "pipeline_tag": tag}
    return ["---", as_yaml({**front, "metrics": [each.name for each in finished.task.record.figures]}).rstrip(), "---"]


def _answers(finished: Finished) -> Iterator[str]:
    noun, names = finished.task.record.noun, finished.space.names
    yield f"{finished.task.record.summary}. It knows {number_of(len(names), *noun)}: {some_names(names)}."


def _figures(finished: Finished, about: ExportFile) -> Iterator[str]:
    judged = finished.report.model_dump().get("judged") or {}
    split = str(judged.get("split") or ("test" if finished.report.test else "val"))
    values = figures_in(getattr(finished.report, split) or {})
    ends = judged.get("figures") or {}
    images = finished.count(split)
    called = {"val": "validation images, on which the epoch was chosen, too", "test": "test images"}
    yield f"On {images} {called.get(split, 'images')}, by ft in fp32:"
    yield ""
    yield "| figure | value | 95 % interval | without looking at images |"
    yield "|---|---|---|---|"
    for figure in finished.task.record.figures:
        if figure.name in values:
            low, high, guess = (ends.get(figure.name, {}).get(each) for each in ("low", "high", "guess"))
            between = f"{figure.written(low)} to {figure.written(high)}" if None not in (low, high) else "not known"
            guessed = "not known" if guess is None else figure.written(guess)
            yield f"| {figure.title} | {figure.written(values[figure.name])} | {between} | {guessed} |"
    yield ""
    figure, parity = finished.task.figure(about.figure), about.parity
    yield (
        f"The file, {about.format} in {about.precision}, was asked about {parity.images} of the validation images: "
        f"{parity.equal_answers} answers are ft's own, and outputs differ by at most {parity.largest_difference:.2g} "
        f"of {parity.largest_output:.3g}. {_speeds(figure, about)}"
    )
    if (over := about.over_views) is not None:
        yield (
            f"\nAsked about several views of an image (`ft predict --tta {over.tta}`): {over.parity.equal_answers} of "
            f"{over.parity.images} answers are ft's own, and the {figure.title} is {figure.written(over.figure)}."
        )
    for warning in judged.get("warnings") or ():
        yield f"\n{warning}"


def _speeds(figure: Figure, about: ExportFile) -> str:
    told = [f"{each.what}: {figure.written(each.figure)}, {taken(each.one)} an image" for each in about.speeds]
    title = figure.title[:1].upper() + figure.title[1:]
    return f"{title} there, and time on the machine that exported it: {'; '.join(told)}."


def _limits(finished: Finished, about: ExportFile) -> Iterator[str]:
    side, seen = about.model.preprocessing.crop_size, finished.count("train")
    yield f"- It was trained on {number_of(seen, 'image')}. It answers about images like those; {_OTHERS}."
    yield f"- It sees {side} x {side} pixels; what is smaller than one of them in the image is lost."
    if about.model.preprocessing.fit == "crop":
        yield "- It sees the middle of an image: of one that is not square, what lies at the ends is cut off."
    yield "- Its figures hold for images that come from where its own came from, and were taken as they were."


def _licences(finished: Finished) -> Iterator[str]:
    weights, config = finished.provenance.get("weights"), finished.config
    if isinstance(weights, dict):
        where = weights.get("url") or weights.get("source") or "its provider"
        yield f"- Pretrained weights: {weights.get('entry')}, from {where}. Their licence is their publisher's."
    else:
        yield "- Pretrained weights: none, or those of another run."
    backbone = next((each for each in finished.versions.components if each.kind == "backbone"), None)
    if backbone is not None:
        licence = _licence_of(backbone.distribution)
        yield f"- The network is built by {_shown(backbone.distribution)} {backbone.version}{licence}."
    yield f"- Images: {_shown(config.data.use)}. Their licence is not known to ft: say it here before you publish this."


def _licence_of(distribution: str) -> str:
    try:
        about = metadata(distribution)
    except (PackageNotFoundError, ValueError):
        return ""
    said = next((about[key] for key in ("License-Expression", "License") if key in about), "").strip()
    said = said.partition("\n")[0]
    return f", whose package says: {said}" if said else ""


def _use(about: ExportFile, record: Exporter) -> Iterator[str]:
    imports, use = use_of(record, about.outputs)
    side = about.model.preprocessing.crop_size
    size = "any size" if about.images == "any" else f"{side} x {side} pixels"
    yield f"`images` are uint8 [N, H, W, 3] in RGB, upright, of {size}. The outputs are {' and '.join(about.outputs)}."
    yield ""
    yield "```python"
    yield "from pathlib import Path\n"
    yield "import numpy as np"
    yield f"{imports}\nfrom PIL import Image\n"
    yield f'folder = Path(".")\n{use}\n\n'
    if about.images == "any":
        yield 'images = np.asarray(Image.open("photo.jpg").convert("RGB"))[None]'
    else:
        yield "# preprocessing.json says how an image becomes as large as the network sees it"
        yield "images = np.load(folder / 'golden.npz')['image_0'][None]"
    yield "print(model(images))"
    yield "```"
    yield ""
    yield "`python check.py` asks it about golden images. `ft predict` takes this folder in place of a run."


def _shown(reference: str) -> str:
    """A reference without the folders in it."""
    name, colon, argument = reference.partition(":")
    return f"{PurePath(name).name}{colon}{PurePath(argument).name}"
