"""A finished run's model, asked from Python."""

from __future__ import annotations

import io
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import ft
from conftest import TINY
from ft.data.pictures import Picture
from ft.data.transforms import eval_transform
from ft.extension.installed import Plugins
from ft.inference.load import load_trained
from ft.inference.loaded import Answer, LoadedModel
from ft.inference.predict import predict
from ft.machine.display import Display
from ft.run.folder import Run

pytestmark = pytest.mark.trains  # the run whose model is asked

KEYS: dict[str, Any] = {
    "backbone": f"{TINY}:small",
    "weights": "none",
    "data": {"use": "demo", "images_per_class": 6, "size": 32},
    "image_size": 16,
    "precision": "fp32",
    "device": "cpu",
    "workers": 0,
    "epochs": 1,
    "batch_size": 8,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("loaded")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FT_CACHE", str(folder / "cache"))
        yield ft.finetune(**KEYS, run_dir=folder / "run").path


@pytest.fixture
def model(run: Path) -> LoadedModel:
    return ft.load(run, batch_size=4, workers=0, trust_code=True)


def picture(number: int, width: int = 40, height: int = 30) -> Image.Image:
    drawn = np.random.default_rng(number).integers(256, size=(height, width, 3), dtype=np.uint8)
    return Image.fromarray(drawn).resize((width, height))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{number}.png" for number in range(9)]
    for number, path in enumerate(made):
        picture(number, 30 + number).save(path)
    return made


def shares(answers: list[Answer]) -> list[dict[str, float]]:
    return [answer.probabilities for answer in answers]


def test_files_get_what_ft_predict_gives_them_bit_for_bit(
    model: LoadedModel, run: Path, paths: list[Path], plugins: Plugins
) -> None:
    machine = {"device": "cpu", "precision": "fp32", "workers": 0}
    trained = load_trained(Run(run), plugins, machine, 4, trust_code=True)
    expected = [each for some in predict(trained, [*map(Picture.at, paths)], Display()) for each in some]
    answers = model.predict(paths)
    assert [answer.image for answer in answers] == [str(path) for path in paths]
    for answer, one in zip(answers, expected, strict=True):
        assert one.answer is not None
        said = one.answer.said(99)
        assert answer.probabilities == dict(zip(said["classes"], said["probabilities"], strict=True))
        assert list(answer.probabilities) == said["classes"]
        assert (answer.label, answer.probability) == (said["classes"][0], said["probabilities"][0])


def test_however_images_come_the_answers_are_the_same(model: LoadedModel, paths: list[Path]) -> None:
    pictures = [Image.open(path) for path in paths]
    arrays = [np.asarray(each) for each in pictures]
    tensors = [torch.from_numpy(each.copy()).permute(2, 0, 1) for each in arrays]
    expected = shares(model.predict(paths))
    for many in (pictures, arrays, tensors, [path.read_bytes() for path in paths], [str(path) for path in paths]):
        assert shares(model.predict(many)) == expected  # type: ignore[arg-type]
        assert shares(model.predict(tuple(many))) == expected  # type: ignore[arg-type]
        assert shares(model.predict(each for each in many)) == expected  # type: ignore[attr-defined]
    assert shares(model.predict(np.array([str(path) for path in paths]))) == expected
    mixed = [*paths[:3], *arrays[3:5], *tensors[5:]]
    for one, other in zip(model.predict(mixed), expected, strict=True):
        assert one.probabilities == pytest.approx(other)


def test_one_image_has_one_answer_and_a_batch_a_list(model: LoadedModel, paths: list[Path]) -> None:
    image = np.asarray(Image.open(paths[0]))
    expected = model.predict([image])[0]
    for one in (paths[0], str(paths[0]), paths[0].read_bytes(), image, torch.from_numpy(image.copy()).permute(2, 0, 1)):
        assert model.predict(one).probabilities == expected.probabilities  # type: ignore[call-overload]
    batch = np.stack([image, image[::-1]])
    for many in (batch, torch.from_numpy(batch).permute(0, 3, 1, 2)):
        assert shares(model.predict(many)) == shares(model.predict(list(batch)))
    nothing: list[list[Any] | np.ndarray[Any, Any]] = [[], batch[:0]]
    assert [model.predict(each) for each in nothing] == [[], []]


def test_a_picture_is_seen_as_its_file_is(model: LoadedModel, tmp_path: Path) -> None:
    turned = picture(1)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    for mode in ("L", "P", "1", "RGBA", "LA", "I;16"):
        picture(2).convert("L" if mode == "I;16" else mode).convert(mode).save(tmp_path / f"{mode}.png")
    for path in tmp_path.glob("*.png"):
        assert model.predict(Image.open(path)).probabilities == model.predict(path).probabilities
    assert model.predict(picture(1)).probabilities != model.predict(tmp_path / "turned.png").probabilities


def test_grey_images_have_one_channel_or_none(model: LoadedModel) -> None:
    grey = np.asarray(picture(3).convert("L"))
    as_tensor = torch.from_numpy(grey.copy())
    many = [grey, grey[..., None], np.dstack([grey] * 3), as_tensor, as_tensor[None], as_tensor.expand(3, -1, -1)]
    first, *others = shares(model.predict(many))
    assert all(one == pytest.approx(first) for one in others)


def test_an_answer_says_what_it_is_and_can_be_kept(model: LoadedModel, paths: list[Path]) -> None:
    answer = model.predict(paths[0])
    assert answer == model.predict(paths[0]) != model.predict(paths[1])
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert list(answer.probabilities.values()) == sorted(answer.probabilities.values(), reverse=True)
    assert repr(answer).startswith(f"<{paths[0]}: {answer.label} {answer.probability:.1%}, ")
    assert model.classes == ("circle", "cross", "square", "triangle") == answer.classes
    assert model.predict(picture(0)).image == ""
    assert "4 classes, 16 px" in repr(model)


def test_images_of_a_generator_are_in_memory_a_batch_at_a_time(model: LoadedModel) -> None:
    gone: list[int] = []
    most = 0

    def images() -> Iterator[Image.Image]:
        nonlocal most
        for number in range(40):
            made = picture(number)
            weakref.finalize(made, gone.append, number)
            most = max(most, number + 1 - len(gone))
            yield made

    answers = model.predict(images())
    assert len(answers) == 40
    assert most <= 4 * 4  # batches of 4: one that is computed, and one that is gathered, and a few names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 4, 3)), r"images\[0\] is of float64, .*astype\('uint8'\)"),
        (torch.zeros(3, 4, 4), r"images\[0\] is of float32, .*to\(torch.uint8\)"),
        (np.zeros((4, 4), "float32"), r"images\[0\] is of float32"),
        (np.zeros((4, 4, 3), "int64"), r"images\[0\] is of int64"),
        (np.zeros((3, 4, 5), "uint8"), r"images\[0\] is \[3, 4, 5\]; one image is \[H, W, 3\]"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r"is \[4, 4, 3\]; one image is \[3, H, W\]"),
        (np.zeros((2, 3, 4, 5), "uint8"), r"is \[3, 4, 5\]; one image is \[H, W, 3\]"),
        (np.zeros((0, 4, 3), "uint8"), r"images\[0\]: it has no pixels"),
        ("gone.jpg", "cannot read the image gone.jpg: No such file"),
        ("*.jpg", r"there is no image \*.jpg; give what matches, as in sorted\(Path\(\)"),
        (Path(__file__).parent, "is a folder; give its images, as in sorted"),
        ("https://example.org/a.jpg", "'https://example.org/a.jpg' is an address, .*; fetch it first"),
        (io.BytesIO(b""), "a BytesIO is no image; an image is a path"),
        ({"a": 1}, "a dict is no image"),
        (None, "a NoneType is no image"),
        ([picture(0), None], r"images\[1\] is a NoneType; an image is a path"),
        ([["a.jpg"]], r"images\[0\] is a list"),
        (b"nothing", r"cannot read the image images\[0\]: not an image"),
        (
            [picture(0), "gone.jpg"],
            'cannot read the image gone.jpg: No such file[^\n]*\nbad_images="skip" answers None',
        ),
    ],
)
def test_what_is_no_image_is_said(model: LoadedModel, given: Any, message: str) -> None:
    with pytest.raises(ft.FtError, match=message):
        model.predict(given)
    with pytest.raises(ft.FtError):
        model.embed(given)


def test_images_that_cannot_be_read_may_have_no_answer(model: LoadedModel, paths: list[Path]) -> None:
    paths[4].write_bytes(b"nothing")
    with pytest.warns(ft.FtWarning, match=r"1 of 9 images has no answer:\n +cannot read the image .*4.png") as warned:
        answers = model.predict(paths, bad_images="skip")
    assert [number for number, answer in enumerate(answers) if answer is None] == [4]
    assert [warning.filename for warning in warned] == [__file__]
    with pytest.raises(ft.FtError, match="bad_images is 'fail' or 'skip', not 'ignore'"):
        model.predict(paths, bad_images="ignore")  # type: ignore[call-overload]


def test_embedding_gives_what_the_head_reads(model: LoadedModel, paths: list[Path]) -> None:
    features = model.embed(paths)
    head = model.module.network.get_submodule("fc")
    assert isinstance(head, torch.nn.Linear)
    assert features.shape == (9, head.in_features)
    assert not features.requires_grad
    with torch.no_grad():
        probabilities = head(features).softmax(1)
    for answer, row in zip(model.predict(paths), probabilities, strict=True):
        assert [answer.probabilities[name] for name in model.classes] == pytest.approx(row.tolist(), abs=1e-6)
    assert torch.equal(model.embed([paths[0]])[0], model.embed(paths[0]))
    assert model.embed([]).shape == (0, head.in_features)


def test_the_module_normalises_uint8_images_itself(model: LoadedModel, paths: list[Path]) -> None:
    seen = eval_transform(model.preprocessing)
    batch = torch.stack([seen(torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)) for path in paths[:4]])
    assert batch.shape == (4, 3, 16, 16)
    logits = model.module(batch)
    assert logits.requires_grad
    for answer, row in zip(model.predict(paths[:4]), logits.softmax(1), strict=True):
        assert [answer.probabilities[name] for name in model.classes] == row.tolist()
    for wrong in (batch.float() / 255, batch[0], batch[:, :1]):
        with pytest.raises(ft.FtError, match=r"module takes uint8 images \[N, 3, S, S\] and normalises them itself"):
            model.module(wrong)


def test_what_is_prepared_is_what_predict_sees(model: LoadedModel, paths: list[Path]) -> None:
    exact = np.asarray(picture(3, 16, 16))  # as large as the crop, and resized all the same
    images = [*paths[:3], exact, Image.open(paths[3]), torch.from_numpy(exact.copy()).permute(2, 0, 1)]
    prepared = model.prepare(images)
    assert (prepared.shape, prepared.dtype, prepared.device.type) == ((6, 3, 16, 16), torch.uint8, "cpu")
    with torch.inference_mode():
        probabilities = model.module(prepared).softmax(1)
    for answer, row in zip(model.predict(images), probabilities, strict=True):
        assert [answer.probabilities[name] for name in model.classes] == pytest.approx(row.tolist(), abs=1e-6)
    assert torch.equal(model.prepare(paths[0]), prepared[:1])
    assert model.prepare([]).shape == (0, 3, 16, 16)
    with pytest.raises(ft.FtError, match="a dict is no image"):
        model.prepare({"a": 1})


def test_transparent_pixels_are_seen_on_white_and_true_is_white(model: LoadedModel) -> None:
    colours = np.asarray(picture(5))
    clear = np.dstack([colours, np.zeros(colours.shape[:2], "uint8")])
    opaque = np.dstack([colours, np.full(colours.shape[:2], 255, "uint8")])
    mask = colours[..., 0] > 100
    same = [(opaque, colours), (clear, np.full_like(colours, 255)), (mask, (mask * 255).astype("uint8"))]
    for given, meant in same:
        assert torch.equal(model.prepare(given), model.prepare(meant))


def test_several_threads_may_ask_at_once(model: LoadedModel, paths: list[Path]) -> None:
    expected, features = shares(model.predict(paths)), model.embed(paths)
    found: list[Any] = []

    def ask() -> None:
        for _ in range(3):
            found.append((shares(model.predict(paths)), model.embed(paths)))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 9
    assert all(one == expected and torch.equal(other, features) for one, other in found)


def test_the_map_that_a_head_reads_is_averaged(tmp_path: Path) -> None:
    keys = {**KEYS, "backbone": f"{TINY}:one-pixel-map"}
    model = ft.finetune(**keys, run_dir=tmp_path / "run").load(trust_code=True)
    features: Tensor = model.embed(picture(0))
    assert features.ndim == 1
    assert model.embed([picture(0)] * 3).shape == (3, len(features))


@pytest.mark.parametrize(
    ("where", "keys", "message"),
    [
        ("nowhere", {}, r"there is no folder .*nowhere\.$"),
        ("", {"device": "gpu"}, "there is no device 'gpu' here"),
        ("", {"batch_size": 0}, r"setting 'batch_size' cannot be 0"),
        ("", {"trust_code": False}, "trust-code"),
    ],
)
def test_what_cannot_be_loaded_is_said(run: Path, where: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ft.FtError, match=message):
        ft.load(run / where, **{"trust_code": True, **keys})
