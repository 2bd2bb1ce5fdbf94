"""The run that another one starts from, as far as its images, its classes and its weights matter to that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ft.data.digests import digest_of
from ft.data.pictures import picture_of
from ft.data.splits import Split
from ft.errors import FtError
from ft.extension.records import Preprocessing, Sample
from ft.extension.tasks import Label, LabelSpace
from ft.task.chosen import ChosenTask
from ft.text.counting import number_of, some_names


@dataclass(frozen=True, eq=False)
class Origin:
    """A finished run in `folder` and the sha256 of its weights; what is to become of its `head`; its label space and
    how it saw images. `splits` say in which parts it had an image, by the image's sha256, or the runs before had that
    it started from in turn."""

    folder: Path
    sha256: str
    head: Literal["keep", "grow", "new"]
    space: LabelSpace
    preprocessing: Preprocessing
    splits: Mapping[str, Set[str]] = field(repr=False)

    @property
    def weights(self) -> Path:
        return self.folder / "model.safetensors"

    def __str__(self) -> str:
        return f"those of the run {self.folder}, sha256 {self.sha256[:12]}"

    def splits_again(self, samples: Mapping[str, Sample], splits: Mapping[str, Split]) -> dict[str, Split]:
        """The same with each image that the runs before had in the part in which they had it, as far as the data do not
        say themselves in which one it is: an image that trained is never measured on."""
        kept = dict(splits)
        for key, sample in samples.items():
            before = self.splits.get(digest_of(picture_of(sample)), frozenset()) if sample.split is None else ()
            kept[key] = next((part for part in _FIRST if part in before), kept[key])
        return kept

    def extended(self, task: ChosenTask, labels: Sequence[Label]) -> LabelSpace:
        """The label space with which a run goes on that has these labels of training images. Raises FtError for classes
        that the head does not know, unless it grows."""
        if self.head == "new":
            return task.space(labels)
        space, (one, many) = task.extend(labels, self.space), task.record.noun
        new = [name for name in space.names if name not in self.space.names]
        if new and self.head == "keep":
            raise FtError(
                f"its head knows {number_of(len(self.space.names), one, many)}, and not {some_names(new)}: add "
                "--head grow, which keeps what it knows and adds these, or name a head, which is then a new one: "
                "--head linear"
            )
        return space


_FIRST: tuple[Split, ...] = ("train", "test", "val")
"""Of an image that was in several parts, the first of these counts."""
