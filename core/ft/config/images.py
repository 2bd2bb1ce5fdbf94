"""The part of the config that says what the network is fed: how images are prepared, varied and replayed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, field_validator

from ft.config.component import ComponentConfig
from ft.extension.settings import Section

AUTO = "auto"
"""Stands for what follows from what trains."""
LARGEST_IMAGE = 4096
"""Pixels of the side of what a network is fed: a batch of 32 is 6 GB."""


def _as_views(value: int | str | None) -> int | str | None:
    if isinstance(value, int) and value < 1:
        raise ValueError("it is 1 or more, auto, or new")
    return None if value == "new" else value


Views = Annotated[int | Literal["auto", "new"] | None, AfterValidator(_as_views)]
"""So many, replayed; "auto"; or None, written `new`: another one in every epoch."""


class ImagesConfig(Section):
    size: int | None = Field(
        None, ge=8, le=LARGEST_IMAGE, description="side of the square fed to the network; default: as pretrained"
    )
    fit: Literal["crop", "squash", "pad"] | None = Field(
        None, description="crop: resize and cut the centre; squash: no cut; pad: keep the shape; default: as pretrained"
    )
    augment: ComponentConfig = Field(
        ComponentConfig(use=AUTO),
        examples=["flip"],
        description="an augmentation of training images; auto: none if only the head trains, else standard",
    )
    views: Views = Field(
        "auto",
        description="replay so many augmented views of an image; new: another one in every epoch; auto: as many as "
        "make the run clearly cheaper where something is frozen, else new",
    )
    chosen_views: int | None = Field(
        None, ge=0, description="in a run's config: what views auto came to; 0: always new ones"
    )
    bad: Literal["fail", "skip"] = Field("fail", description="what to do when images cannot be read")
    range: tuple[float, float] | Literal["auto"] | None = Field(
        None,
        examples=["[0, 4095]"],
        description="of images with more than 8 bits, the values that become black and white, as in [0, 4095]; "
        "auto: the lowest and highest of the training images; default: 0 and 65535",
    )

    @field_validator("range")
    @classmethod
    def _rises(cls, value: Any) -> Any:
        if isinstance(value, tuple) and not value[0] < value[1]:
            raise ValueError("write the lower value first, as in [0, 4095]")
        return value

    @property
    def replayed(self) -> int | None:
        """How many views of an image are replayed; None where every epoch has a new one."""
        views = self.chosen_views or None if self.views == AUTO else self.views
        return views if isinstance(views, int) else None

    _different: int | None = PrivateAttr(None)

    @property
    def different(self) -> int | None:
        """How many views of an image differ, None without end; known once the augmentation is found."""
        return self._different

    @property
    def varies(self) -> bool:
        """Whether training images differ from epoch to epoch; known once the augmentation is found."""
        return self._different != 1

    def augmented(self, augment: ComponentConfig, different: int | None) -> ImagesConfig:
        """The same with an augmentation, which makes so many `different` views of an image."""
        found = self.model_copy(update={"augment": augment})
        found._different = different
        return found

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The range, as far as it is known."""
        return None if self.range == "auto" else self.range
