"""Augmentations, one file each."""

from collections.abc import Iterator

from ft import Augmentation, hookimpl


@hookimpl
def ft_augmentations() -> Iterator[Augmentation]:
    yield Augmentation("none", "Images as evaluation sees them", build="ft_augment.none:build", varies=False)
    yield Augmentation(
        "flip",
        "Mirrored left to right half of the time",
        build="ft_augment.flip:build",
        settings="ft_augment.flip:FlipSettings",
        positions="ft_augment.flip:positions",
    )
    yield Augmentation(
        "standard",
        "A random section of the image, mirrored half of the time",
        build="ft_augment.standard:build",
        settings="ft_augment.standard:StandardSettings",
        section="ft_augment.standard:smallest",
    )
    yield Augmentation(
        "strong",
        "standard, then a random change of geometry or colour, and an erased rectangle in some",
        build="ft_augment.strong:build",
        settings="ft_augment.strong:StrongSettings",
        section="ft_augment.standard:smallest",
    )
    yield Augmentation(
        "geometric",
        "Turned by 90 degrees and mirrored: for images without an upper side",
        build="ft_augment.geometric:build",
        settings="ft_augment.geometric:GeometricSettings",
        positions="ft_augment.geometric:positions",
    )
    yield Augmentation(
        "trivial",
        "TrivialAugment: one random change of geometry or colour",
        build="ft_augment.trivial:build",
        settings="ft_augment.trivial:TrivialSettings",
    )
    yield Augmentation(
        "rand",
        "RandAugment: some random changes of geometry or colour, of one strength",
        build="ft_augment.rand:build",
        settings="ft_augment.rand:RandSettings",
    )
