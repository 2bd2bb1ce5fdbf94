"""`standard`: a random section of the image, mirrored or not."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from ft import Preprocessing, Settings

Share = Annotated[float, Field(gt=0, le=1)]


class StandardSettings(Settings):
    scale: tuple[Share, Share] = Field(
        (0.35, 1.0),  # 0.08, usual for ImageNet, often misses the object in small data sets
        description="least and largest share of the image's area in a section",
    )
    ratio: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = Field(
        (3 / 4, 4 / 3), description="least and largest width of a section, by its height"
    )
    p: float = Field(0.5, ge=0, le=1, description="share of the images that are mirrored left to right")
    erase: float = Field(0.0, ge=0, le=1, description="share of the images of which a rectangle is erased")

    @field_validator("scale", "ratio")
    @classmethod
    def _rises(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("write the smaller one first, as in [0.2, 1]")
        return value


def build(preprocessing: Preprocessing, settings: StandardSettings) -> Any:
    """A random section of the image, resized to the square (Szegedy et al. 2015, section 6), a mirror, and in some an
    erased rectangle."""
    from torchvision.transforms import v2

    return v2.Compose([*section(preprocessing, settings), *erased(preprocessing, settings)])


def section(preprocessing: Preprocessing, settings: StandardSettings) -> list[Any]:
    """The section, and the mirror."""
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import InterpolationMode

    modes = {"nearest": InterpolationMode.NEAREST_EXACT, "bilinear": InterpolationMode.BILINEAR}
    mode = modes.get(preprocessing.interpolation, InterpolationMode.BICUBIC)  # lanczos on tensors is recent
    side, scale, ratio = preprocessing.crop_size, settings.scale, settings.ratio
    return [
        v2.RandomResizedCrop(side, scale=scale, ratio=ratio, interpolation=mode),
        v2.RandomHorizontalFlip(settings.p),
    ]


def erased(preprocessing: Preprocessing, settings: StandardSettings) -> list[Any]:
    """What erases a rectangle of some images (Zhong et al. 2020, section 3.1): it gets the mean colour, which the
    network sees as nothing."""
    from torchvision.transforms import v2

    mean = [float(round(255 * each)) for each in preprocessing.mean]
    return [v2.RandomErasing(p=settings.erase, value=mean)] if settings.erase else []


def smallest(settings: StandardSettings) -> float:
    """The share of the area of the smallest section."""
    return settings.scale[0]
