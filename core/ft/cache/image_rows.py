"""Images as rows that are kept: which a run has, what each is known by, and what decides its bytes besides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import PIL
import torch
import torchvision

from ft.cache.store import DECODED
from ft.data.dataset import view_replayed
from ft.data.decoding import NOTHING, Facts
from ft.data.load import ImageData, Item
from ft.data.transforms import Transform, eval_transform, train_transform
from ft.data.values import Range, needs_range
from ft.extension.records import Preprocessing
from ft.job import Job
from ft.run.locked import code_digest

STORE_FORMAT = 11
_LOOKED_AT = 4


@dataclass(frozen=True)
class Part:
    """Images that are looked for together, row view * N + image; `random` says what their views follow from."""

    name: str
    items: Sequence[Item]
    transform: Transform
    views: int
    random: Mapping[str, Any]

    @property
    def rows(self) -> int:
        return len(self.items) * self.views


def image_parts(job: Job) -> tuple[Part, Part]:
    """Return the training images, in all views that a run shows, and the validation images."""
    return (
        Part("training", job.data.train, *_training_views(job)),
        measured_part("validation", job.data.val, job),
    )


def measured_part(name: str, items: Sequence[Item], job: Job) -> Part:
    """Return images as a model is measured on them: without augmentation, each once."""
    return Part(name, items, eval_transform(job.preprocessing), 1, {})


def _training_views(job: Job) -> tuple[Transform, int, Mapping[str, Any]]:
    chosen, views, seed, drawn = job.augmentation, job.config.images.replayed or 1, job.config.seed, {}
    transform = train_transform(job.preprocessing, chosen)
    if chosen.record.varies:
        code, makes = code_digest(chosen.component), _made_of_noise(transform, job.preprocessing, seed)
        drawn = {"augment": chosen.about(), "code": code, "makes": makes, "seed": seed}
    return transform, views, drawn


def _made_of_noise(transform: Transform, preprocessing: Preprocessing, seed: int) -> str:
    """A digest of the views of a few images of noise: what decides them may lie in a library, or beside a file."""
    side, generator, made = preprocessing.resize_size, torch.Generator().manual_seed(0), hashlib.sha256()
    for index in range(_LOOKED_AT):
        noise = torch.randint(256, (3, side + index, side), dtype=torch.uint8, generator=generator)
        with view_replayed(transform, seed, 0, f"{index:016x}") as view:
            made.update(view(noise).contiguous().numpy().tobytes())
    return made.hexdigest()


def about_images(preprocessing: Preprocessing) -> dict[str, Any]:
    """Everything that decides the bytes of an image's row, but for what its name stands for."""
    said = json.loads(json.dumps(asdict(preprocessing)))
    del said["value_range"]
    return {
        "format": STORE_FORMAT,
        "versions": [torch.__version__, torchvision.__version__, PIL.__version__],
        "preprocessing": said,
    }


def about_decoded(preprocessing: Preprocessing) -> dict[str, Any]:
    """The same of decoded images."""
    return {**about_images(preprocessing), "promise": DECODED, "backbone": "any"}


def image_name(digest: str, facts: Facts, value_range: Range | None) -> bytes:
    """What an image as evaluation sees it is known by: the digest of its content and, where it depends on it, the range
    of values that become black and white."""
    content = bytes.fromhex(digest)
    if not needs_range(facts.values):
        return content
    return hashlib.sha256(content + json.dumps(value_range).encode()).digest()


def image_names(items: Sequence[Item], data: ImageData, value_range: Range | None) -> list[bytes]:
    """What each of some images is known by."""
    pictures = (item.picture.name for item in items)
    return [image_name(data.digests[each], data.facts.get(each, NOTHING), value_range) for each in pictures]


def row_names(part: Part, job: Job) -> list[bytes]:
    """What each row of a part is known by: as its image is and, where its view is random, what that is drawn from."""
    digests = image_names(part.items, job.data, job.preprocessing.value_range)
    if not part.random:
        return digests * part.views
    drawn = json.dumps(part.random, sort_keys=True)
    return [
        hashlib.sha256(digest + f"{drawn} {view}".encode()).digest() for view in range(part.views) for digest in digests
    ]
