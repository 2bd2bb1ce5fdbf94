"""Pixels: reading, preprocessing, augmentation."""

from __future__ import annotations

import io
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from augmentations import augmentation
from ft import FtError, Preprocessing
from ft.config.images import ImagesConfig
from ft.data import transforms as images
from ft.data.dataset import ImageDataset
from ft.data.decoding import decode_image
from ft.data.load import Item
from ft.data.pictures import Picture
from ft.data.pixels import image_to_tensor
from ft.data.transforms import (
    effective_preprocessing,
    eval_transform,
    network_input,
    normalise,
    read_image,
    train_transform,
)
from ft.machine.devices import Machine

PRESETS: list[str] = ["none", "flip", "standard", "strong"]
JPEGS: list[dict[str, Any]] = [{}, {"progressive": True}, {"subsampling": 0}]
SMALL = Preprocessing(crop_size=32, resize_size=36)


def picture(width: int, height: int) -> Image.Image:
    """Smooth shapes and hard edges, as photographs have them."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [np.sin(x / 7 + y / 11), np.cos(x / 5) * np.sin(y / 3), np.sign(np.sin(x / 9) + np.cos(y / 13))]
    return Image.fromarray(((np.stack(channels, -1) + 1) * 127.5).astype(np.uint8))


def read(path: Path) -> torch.Tensor:
    return read_image(Picture.at(path))


# Reading


def test_an_rgb_image_is_read_as_it_is(tmp_path: Path) -> None:
    picture(20, 10).save(tmp_path / "a.png")
    image = read(tmp_path / "a.png")
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, 10, 20))
    assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(picture(20, 10)))


def test_a_photograph_taken_sideways_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned; rotate by 90 degrees to look at it
    picture(20, 10).save(tmp_path / "a.png", exif=exif)
    upright = np.asarray(picture(20, 10).rotate(-90, expand=True))
    assert np.array_equal(np.asarray(decode_image((tmp_path / "a.png").read_bytes())), upright)


@pytest.mark.parametrize(("value", "level"), [(0, 0), (65535, 255), (32768, 128), (257, 1)])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, value: int, level: int) -> None:
    for name in ("a.png", "a.tif"):
        Image.fromarray(np.full((4, 4), value, np.uint16)).save(tmp_path / name)
        assert {*read(tmp_path / name).flatten().tolist()} == {level}


def test_what_is_transparent_is_seen_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = (0, 128, 255)
    Image.fromarray(pixels).save(tmp_path / "rgba.png")
    assert read(tmp_path / "rgba.png")[:, 0].tolist() == [[255, 127, 0]] * 3
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png", transparency=0)
    assert read(tmp_path / "palette.png")[:, 0].tolist() == [[255, 255], [255, 0], [255, 0]]
    Image.new("L", (1, 1), 7).save(tmp_path / "grey.png", transparency=7)
    assert read(tmp_path / "grey.png").flatten().tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr"])
def test_every_common_kind_of_pixel_becomes_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode)
    path = tmp_path / ("a.jpg" if mode in ("CMYK", "YCbCr") else "a.png")
    image.save(path)
    assert {*read(path).flatten().tolist()} == {255}


@pytest.mark.parametrize(
    ("pixels", "reason"), [(np.float32(0.5), "floating-point"), (np.int32(70000), "32-bit numbers")]
)
def test_pixels_without_an_agreed_range_are_refused_not_guessed(
    tmp_path: Path, pixels: np.generic, reason: str
) -> None:
    Image.fromarray(np.full((4, 4), pixels)).save(tmp_path / "a.tif")
    with pytest.raises(FtError, match=rf"cannot read the image .*a\.tif: its pixels are {reason}"):
        read(tmp_path / "a.tif")


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(FtError, match="decompression bomb"):
        read(tmp_path / "a.png")


def test_a_file_that_would_start_another_program_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(FtError, match="not an image, or not one of JPEG"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_file_that_lost_its_end_is_unreadable_wherever_it_was_cut(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    picture(64, 64).save(whole)
    content = whole.read_bytes()
    for share in (0.1, 0.5, 0.9):
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(FtError, match="cannot read the image"):
            read(cut)


# Preprocessing


@pytest.mark.parametrize("size", [(300, 300), (500, 375), (375, 500), (97, 64), (40, 333), (256, 256), (1, 5)])
@pytest.mark.parametrize(
    ("mode", "tolerance"),  # in levels of 255: where both round the exact value, they may differ by one
    [("bilinear", 1), ("bicubic", 1), ("nearest", 0), ("lanczos", 0)],
)
def test_evaluation_gives_the_pixels_of_the_published_preset(
    tmp_path: Path, size: tuple[int, int], mode: str, tolerance: int
) -> None:
    preprocessing = Preprocessing(crop_size=64, resize_size=73, interpolation=mode)  # type: ignore[arg-type]
    published = ResNet18_Weights.DEFAULT.transforms(crop_size=64, resize_size=73, interpolation=InterpolationMode(mode))
    picture(*size).save(tmp_path / "a.png")
    ours = normalise(eval_transform(preprocessing)(read(tmp_path / "a.png")), preprocessing)
    theirs = published(Image.open(tmp_path / "a.png"))
    level = 1 / 255 / min(preprocessing.std)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert float((ours - theirs).abs().max()) <= (tolerance + 1e-3) * level
    assert float((ours - theirs).abs().mean()) <= 0.02 * tolerance * level + 1e-6


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_batch_is_normalised_to_the_bits_of_each_image(channels_last: bool) -> None:
    machine = Machine("cpu", "fp32", channels_last)
    pixels = torch.randint(0, 256, (5, 3, 17, 17), dtype=torch.uint8)
    batch = network_input(pixels, SMALL, machine)
    assert torch.equal(batch, torch.stack([normalise(each, SMALL) for each in pixels]))
    assert batch.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_what_strong_augmentation_erases_is_the_mean_colour() -> None:
    image = torch.full((3, 50, 60), 255, dtype=torch.uint8)
    strong = train_transform(SMALL, augmentation("strong"))
    torch.manual_seed(0)
    mean = torch.tensor([round(255 * each) for each in SMALL.mean], dtype=torch.uint8)
    erased = [int((strong(image) == mean[:, None, None]).all(0).sum()) for _ in range(40)]
    assert 4 <= sum(area > 10 for area in erased) <= 20


def test_squash_shows_all_of_the_image_and_pad_keeps_its_shape() -> None:
    image = torch.zeros(3, 20, 80, dtype=torch.uint8)
    image[:, :, :8] = 255  # a white edge, which the crop of the centre does not show
    plain = {"crop_size": 40, "resize_size": 40, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    cropped, squashed, padded = (
        normalise(eval_transform(Preprocessing(**plain, fit=fit))(image), Preprocessing(**plain))  # type: ignore[arg-type]
        for fit in ("crop", "squash", "pad")
    )
    assert {tuple(each.shape) for each in (cropped, squashed, padded)} == {(3, 40, 40)}
    assert cropped.max() == -1
    assert (squashed[0, :, :3] == 1).all()
    assert (padded[0, 16:24, :3] == 1).all()
    assert padded[0, :15].abs().max() < 0.01  # the mean


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(1, 1), (3, 100), (100, 3), (36, 36), (200, 50)])
def test_every_preset_makes_squares_of_every_shape(preset: str, fit: str, size: tuple[int, int]) -> None:
    preprocessing = effective_preprocessing(SMALL, ImagesConfig.model_validate({"fit": fit}))
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    out = train_transform(preprocessing, augmentation(preset))(image)
    assert (tuple(out.shape), out.dtype) == ((3, 32, 32), torch.uint8)


def test_another_size_keeps_the_proportion_of_resize_and_crop() -> None:
    published = Preprocessing(crop_size=224, resize_size=256, fit="squash")
    smaller = effective_preprocessing(published, ImagesConfig(size=112))
    assert (smaller.crop_size, smaller.resize_size, smaller.fit) == (112, 128, "squash")
    assert effective_preprocessing(published, ImagesConfig()) == published
    assert effective_preprocessing(published, ImagesConfig(fit="pad")).fit == "pad"


# Augmentation


def test_flip_gives_the_image_or_its_mirror_image() -> None:
    image = torch.randint(0, 256, (3, 50, 60), dtype=torch.uint8)
    plain, flipping = eval_transform(SMALL)(image), train_transform(SMALL, augmentation("flip"))
    made = [flipping(image) for _ in range(20)]
    assert {torch.equal(each, plain) for each in made} == {True, False}
    assert all(torch.equal(each, plain) or torch.equal(each, plain.flip(-1)) for each in made)


def test_a_squashed_image_is_seen_to_its_edges_in_training_too() -> None:
    image = torch.zeros(3, 20, 200, dtype=torch.uint8)
    image[:, :, :10] = 255
    squashing = train_transform(Preprocessing(32, 36, fit="squash"), augmentation("standard"))
    cutting = train_transform(Preprocessing(32, 36, fit="crop"), augmentation("standard"))
    torch.manual_seed(0)
    seen = [[int(each(image).max()) > 0 for _ in range(60)] for each in (squashing, cutting)]
    assert sum(seen[0]) > 2 * sum(seen[1])


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    for number in range(6):
        picture(40 + number, 50).save(tmp_path / f"{number}.png")
    return [Item(Picture.at(tmp_path / f"{number}.png"), number % 2) for number in range(6)]


@pytest.mark.parametrize("preset", ["flip", "standard", "strong"])
def test_augmentation_is_a_function_of_seed_epoch_and_image(items: list[Item], preset: str) -> None:
    transform = train_transform(SMALL, augmentation(preset))
    first, again, other = (ImageDataset(items, transform, seed) for seed in (1, 1, 2))
    wanted = [first[epoch, index][0] for epoch in range(3) for index in range(6)]
    torch.rand(17)  # whatever else draws random numbers does not matter
    made = [again[epoch, index][0] for epoch in reversed(range(3)) for index in reversed(range(6))]
    assert all(torch.equal(a, b) for a, b in zip(wanted, reversed(made), strict=True))
    assert not all(torch.equal(first[0, i][0], first[1, i][0]) for i in range(6))
    assert not all(torch.equal(first[0, i][0], other[0, i][0]) for i in range(6))


def test_reading_an_image_leaves_the_random_state_of_the_run_alone(items: list[Item]) -> None:
    dataset = ImageDataset(items, train_transform(SMALL, augmentation("strong")), 1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    _, label, index = dataset[0, 3]
    assert torch.equal(torch.rand(3), expected)
    assert (label, index) == (1, 3)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_dataset_can_be_sent_to_another_process(items: list[Item], preset: str) -> None:
    dataset = ImageDataset(items, train_transform(SMALL, augmentation(preset)), 1)
    there = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(there[2, 1][0], dataset[2, 1][0])


# What is too long, and what is too large


def noise(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, height, width), dtype=np.uint8))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(20, 801), (801, 20), (37, 999), (2, 600), (600, 2), (1, 500)])
@pytest.mark.parametrize("sizes", [(32, 36), (33, 36), (32, 32)])
def test_the_middle_of_a_strip_is_what_it_is_in_the_whole(
    interpolation: Any, shape: tuple[int, int], sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    transform = eval_transform(Preprocessing(*sizes, interpolation))
    monkeypatch.setattr("ft.data.transforms.MOST_SIDES", 8)
    middle = transform(noise(*shape))
    monkeypatch.setattr("ft.data.transforms.MOST_SIDES", 10**6)
    difference = (middle.int() - transform(noise(*shape)).int()).abs()
    assert difference.max() <= 2
    assert (difference > 1).float().mean() < 0.001


@pytest.mark.parametrize("interpolation", ["nearest", "lanczos"])
def test_the_middle_of_a_smooth_strip_is_what_it_is_in_the_whole(
    interpolation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    strip = image_to_tensor(picture(900, 40))
    transform = eval_transform(Preprocessing(32, 36, interpolation))
    monkeypatch.setattr("ft.data.transforms.MOST_SIDES", 8)
    middle = transform(strip)
    monkeypatch.setattr("ft.data.transforms.MOST_SIDES", 10**6)
    assert (middle.int() - transform(strip).int()).abs().float().mean() < 2


@pytest.mark.parametrize("shape", [(2, 20_000), (20_000, 2), (1, 50_000), (50_000, 1)])
@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_long_strip_makes_nothing_large(
    shape: tuple[int, int], fit: Any, preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = [0]
    resize, pad, to_tensor = functional.resize, functional.pad, images.image_to_tensor

    def measured(made: torch.Tensor) -> torch.Tensor:
        largest.append(made.numel())
        return made

    monkeypatch.setattr(functional, "resize", lambda *args, **rest: measured(resize(*args, **rest)))
    monkeypatch.setattr(functional, "pad", lambda *args, **rest: measured(pad(*args, **rest)))
    monkeypatch.setattr(images, "image_to_tensor", lambda image: measured(to_tensor(image)))
    made = train_transform(Preprocessing(fit=fit), augmentation(preset))(torch.full((3, *shape), 7, dtype=torch.uint8))
    assert made.shape == (3, 224, 224)
    assert max(largest) < 3 * 5_000_000


@pytest.fixture
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ft.data.decoding.LARGE", 0)


def photograph(**options: Any) -> bytes:
    buffer = io.BytesIO()
    picture(480, 360).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


@pytest.mark.usefixtures("all_are_large")
@pytest.mark.parametrize("options", JPEGS, ids=["usual", "progressive", "444"])
def test_a_large_jpeg_is_decoded_smaller_and_hardly_differs(options: dict[str, Any]) -> None:
    content = photograph(**options)
    transform = eval_transform(Preprocessing(44, 50))
    assert decode_image(content, least=transform.least).size == (240, 180)
    small = transform(read_image(Picture("a", open=lambda: content), None, None, transform.least))
    whole = transform(read_image(Picture("a", open=lambda: content)))
    difference = (small.int() - whole.int()).abs().float()
    assert difference.max() <= 6
    assert difference.mean() < 1


@pytest.mark.usefixtures("all_are_large")
@pytest.mark.parametrize(
    ("preprocessing", "preset", "size"),
    [
        (Preprocessing(44, 50), "none", (240, 180)),
        (Preprocessing(44, 50, fit="squash"), "flip", (120, 90)),
        (Preprocessing(20, 22), "none", (60, 45)),
        (Preprocessing(80, 80), "none", (240, 180)),
        (Preprocessing(100, 100), "none", (480, 360)),
        (Preprocessing(44, 50), "standard", (240, 180)),
        (Preprocessing(80, 80), "strong", (480, 360)),
    ],
)
def test_a_large_jpeg_keeps_two_pixels_for_each_it_is_resized_to(
    preprocessing: Preprocessing, preset: str, size: tuple[int, int]
) -> None:
    least = train_transform(preprocessing, augmentation(preset)).least
    assert decode_image(photograph(), least=least).size == size


@pytest.mark.usefixtures("all_are_large")
def test_a_turned_large_jpeg_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(photograph(exif=exif), least=80).size == (90, 120)


@pytest.mark.parametrize(("kind", "size"), [("JPEG", (2000, 1999)), ("PNG", (2000, 2000)), ("JPEG", (2000, 2000))])
def test_only_jpegs_of_four_megapixels_are_decoded_smaller(kind: str, size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind)
    smaller = decode_image(buffer.getvalue(), least=200).size
    assert smaller == ((250, 250) if (kind, size) == ("JPEG", (2000, 2000)) else size)


@pytest.mark.usefixtures("all_are_large")
@pytest.mark.parametrize("options", JPEGS, ids=["usual", "progressive", "444"])
def test_a_damaged_jpeg_is_refused_also_where_it_is_decoded_smaller(options: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    picture(90, 60).save(buffer, "JPEG", **options)
    rng, refused = np.random.default_rng(0), 0
    for number in range(150):
        content = bytearray(buffer.getvalue())
        place = int(rng.integers(2, len(content)))
        if number % 2:
            content[place] ^= int(rng.integers(1, 256))
        else:
            del content[place:]

        def fails(least: int | None, content: bytes = bytes(content)) -> bool:
            try:
                decode_image(content, least=least)
            except Exception:
                return True
            return False

        assert fails(None) == fails(1) == fails(30)
        refused += fails(None)
    assert 50 < refused < 150
