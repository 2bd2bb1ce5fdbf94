"""The data as the network sees it: a sheet of training images, prepared and varied, and what the crop discards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torchvision.transforms.v2 import functional as F

from ft.data.augmentation import choose_augmentation
from ft.data.cropping import look_at_crops
from ft.data.load import Item
from ft.data.pictures import Content, Picture
from ft.data.sheet import Seeing, Seen, sheet
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Preprocessing
from ft.extension.sections import Note, Part, Pictures, Section, Shot
from ft.extension.tasks import label_text
from ft.pages.pictures import thumbnail
from ft.reporting.finished import Finished
from ft.reporting.found import Found

TITLE = "Data as the network sees it"


@dataclass(frozen=True)
class Made:
    """Pictures that are no images of the run: what is made of them. Their numbers follow those of the images."""

    names: tuple[str, ...] = ()
    photos: tuple[bytes, ...] = ()


def as_the_network_sees_it(finished: Finished, found: Found, plugins: Plugins) -> tuple[Section, Made]:
    """The section, and the pictures that it shows."""
    training = [place for place, image in enumerate(finished.images) if image.split == "train"]
    names = [finished.images[place].path for place in training]
    items = [
        Item(Picture(name, open=partial(_opened, found, place)), 0, finished.images[place].label)
        for name, place in zip(names, training, strict=True)
    ]
    images = finished.seen
    how = Seeing(
        finished.preprocessing, choose_augmentation(images.augment, plugins), finished.config.seed, images.replayed
    )
    digests = {name: finished.images[place].digest for name, place in zip(names, training, strict=True)}
    rows = sheet(items, digests, finished.task, how)
    made, parts = _shown(rows, items, len(finished.images))
    crops = look_at_crops(len(training), lambda number: found.picture(training[number]), finished.preprocessing)
    warning = [Note(crops.warning, warns=True)] if crops.warning else []
    varies = "varied" if how.augmentation.record.varies else "not varied"
    lead = f"{_prepared(finished.preprocessing)} In training they are {varies} (augmentation {images.augment.use})."
    return Section(TITLE, (*warning, *parts), lead), made


def _opened(found: Found, place: int) -> Content:
    content = found.content(place)
    if isinstance(content, str):
        raise FtError(content)
    return content


def _prepared(preprocessing: Preprocessing) -> str:
    side, resized = preprocessing.crop_size, preprocessing.resize_size
    done = {
        "crop": f"resized to {resized} px along their shorter side, and cut to the {side} x {side} px in the middle",
        "squash": f"resized to {side} x {side} px, whatever their shape",
        "pad": f"resized to {side} px along their longer side, and filled up to a square",
    }
    return f"Images are {done[preprocessing.fit]}."


def _shown(rows: Sequence[Seen], items: Sequence[Item], first: int) -> tuple[Made, list[Part]]:
    """A row of pictures for each image: as it is measured, and as it was varied in the first epochs. Pictures are
    numbered from `first` on."""
    names, photos, parts = list[str](), list[bytes](), list[Part]()
    for row in rows:
        item, shots = items[row.place], []
        for number, square in enumerate((row.evaluated, *row.trained)):
            what = f"epoch {number}" if number else "as it is measured"
            shots.append(Shot(first + len(names), what))
            names.append(item.picture.name)
            photos.append(thumbnail(F.to_pil_image(square)))
        parts.append(Pictures(label_text(item.label), tuple(shots)))
    if not any(row.trained for row in rows):
        shots = [
            Shot(shot.place, f"{part.title}") for part in parts if isinstance(part, Pictures) for shot in part.shots
        ]
        parts = [Pictures("", tuple(shots))] if shots else []
    return Made(tuple(names), tuple(photos)), parts or [Note("No training image is there any more.")]
