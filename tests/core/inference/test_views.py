"""Test-time views: averages of what a model answers to several views of an image."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from torch import Tensor

import ft
from augmentations import augmentation
from conftest import TINY
from ft.config.use import views_in
from ft.data.transforms import eval_transform, read_image, train_transform
from ft.data.views import Views
from ft.errors import FtError
from ft.extension.records import Preprocessing
from ft.inference.loaded import LoadedModel
from ft.inference.views import averaged_over
from ft.run.folder import Run

pytestmark = pytest.mark.trains  # the runs whose models are asked

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
    "lr": 0.01,
    "report": {"html": False},
}
AUGMENTS = ("none", "standard", "geometric")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("views")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FT_CACHE", str(folder / "cache"))
        yield {use: ft.finetune(**KEYS, augment=use, run_dir=folder / use).path for use in AUGMENTS}


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(made):
        drawn = np.random.default_rng(number).integers(256, size=(40, 30 + number, 3), dtype=np.uint8)
        Image.fromarray(drawn).save(path)
    return made


def loaded(run: Path, tta: str | None = None, **how: Any) -> LoadedModel:
    return ft.load(run, tta=tta, workers=0, batch_size=2, trust_code=True, **how)


def told(model: LoadedModel, images: Sequence[Any]) -> Tensor:
    """The probabilities [N, C] that a model tells."""
    return torch.tensor([[answer.every()[name] for name in model.classes] for answer in model.predict(images)])


def mean_of(model: LoadedModel, views: Sequence[Tensor]) -> Tensor:
    """The mean over views, each uint8 [N, 3, S, S], of the probabilities that a model gives."""
    (temperature,) = model.numbers.get("temperature", (1.0,))
    with torch.no_grad():
        return torch.stack([(model.module(each) / temperature).softmax(1) for each in views]).mean(0)


def test_flip_is_the_mean_of_an_image_and_its_mirrored_copy_in_one_batch(
    runs: dict[str, Path], paths: list[Path]
) -> None:
    plain, model = loaded(runs["none"]), loaded(runs["none"], "flip")
    squares = plain.prepare(paths)
    sizes: list[int] = []
    with model.module.network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0]))):
        found = told(model, paths)
    assert sizes == [4, 6]  # of batches of 2 and 3
    torch.testing.assert_close(found, mean_of(plain, [squares, squares.flip(-1)]))
    assert not torch.allclose(found, told(plain, paths), atol=1e-6)


def test_views_of_an_augmentation_with_few_positions_are_these(runs: dict[str, Path], paths: list[Path]) -> None:
    plain = loaded(runs["geometric"])
    squares = plain.prepare(paths)
    eight = [each.rot90(turns, (-2, -1)) for each in (squares, squares.flip(-1)) for turns in range(4)]
    torch.testing.assert_close(told(loaded(runs["geometric"], "views:8"), paths), mean_of(plain, eight))
    two = told(loaded(runs["geometric"], "views:2"), paths)
    assert two.equal(told(loaded(runs["geometric"], "flip"), paths))


def test_other_views_are_replayed_by_the_augmentation_of_the_run(runs: dict[str, Path], paths: list[Path]) -> None:
    plain = loaded(runs["standard"])
    square, varied = eval_transform(plain.preprocessing), train_transform(plain.preprocessing, augmentation("standard"))
    views = Views(square, 3, seed=0, varied=varied)
    each = torch.stack([views(read_image(ft_picture(path))) for path in paths]).unbind(1)
    assert each[0].equal(plain.prepare(paths))
    found = told(loaded(runs["standard"], "views:3"), paths)
    torch.testing.assert_close(found, mean_of(plain, each))


def ft_picture(path: Path) -> Any:
    from ft.data.pictures import Picture

    return Picture.at(path)


def test_views_follow_from_the_image_alone(runs: dict[str, Path], paths: list[Path], tmp_path: Path) -> None:
    model = loaded(runs["standard"], "views:3")
    found = told(model, paths)
    renamed = tmp_path / "renamed.png"
    renamed.write_bytes(paths[3].read_bytes())
    with Image.open(paths[3]) as opened:
        others = [renamed, paths[3], np.asarray(opened)]
    for each in others:
        torch.testing.assert_close(told(model, [each]), found[3:4], rtol=0, atol=1e-6)
    backwards = ft.load(runs["standard"], tta="views:3", workers=1, batch_size=2, trust_code=True)
    torch.testing.assert_close(told(backwards, paths[::-1]).flip(0), found, rtol=0, atol=1e-6)


def test_a_view_is_a_function_of_the_seed_the_view_and_the_pixels() -> None:
    preprocessing = Preprocessing(crop_size=16, resize_size=18)
    square, varied = eval_transform(preprocessing), train_transform(preprocessing, augmentation("standard"))
    images = torch.randint(0, 256, (2, 3, 30, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    one = Views(square, 4, 0, varied=varied)(images[0])
    assert state.equal(torch.get_rng_state())
    assert one.shape == (4, 3, 16, 16)
    assert len({each.numpy().tobytes() for each in one}) == 4
    assert one.equal(Views(square, 5, 0, varied=varied)(images[0])[:4])
    assert not one[1:].equal(Views(square, 4, 1, varied=varied)(images[0])[1:])
    uncut = train_transform(preprocessing, augmentation("trivial"))
    assert Views(square, 4, 0, varied=uncut)(images[0])[0].equal(square(images[0]))


def test_what_is_measured_and_told_beside_is_of_the_average(runs: dict[str, Path], ft: Callable[..., Result]) -> None:
    run = str(runs["standard"])
    command = ("evaluate", run, "demo", "--split", "val", "--trust-code", "--workers", "0", "--json")
    sets = ("--set", "data.images_per_class=6", "--set", "data.size=32")
    measured = {tta: json.loads(ft(*command, *sets, *(("--tta", tta) if tta else ())).stdout) for tta in ("", "flip")}
    assert (measured["flip"]["tta"], "tta" in measured[""]) == ("flip", False)
    assert measured["flip"]["loss"] != measured[""]["loss"]
    said = ft(*command[:-1], *sets, "--tta", "views:2").stdout
    assert said.startswith(f"{measured['']['images']} images of demo, --tta views:2: accuracy ")


def test_what_is_not_of_several_views_is_as_without(runs: dict[str, Path], paths: list[Path]) -> None:
    plain, model = loaded(runs["standard"]), loaded(runs["standard"], "views:3")
    assert model.embed(paths).equal(plain.embed(paths))
    with pytest.warns(ft.FtWarning, match="from 4 validation images alone"):
        assert model.unlike(paths) == plain.unlike(paths)
    assert model.prepare(paths).equal(plain.prepare(paths))
    found = torch.tensor(model.uncertainty(paths))
    best = told(model, paths).topk(2).values
    torch.testing.assert_close(found, 1 - (best[:, 0] - best[:, 1]))
    with pytest.raises(FtError, match=r"an explanation is of one view .* \(--tta views:3\); load it without tta"):
        model.explain(paths)


def test_ft_predict_tells_features_of_the_image_beside_answers_to_its_views(
    runs: dict[str, Path], paths: list[Path], ft: Callable[..., Result]
) -> None:
    def row(*flags: str) -> dict[str, Any]:
        asked = ft(
            "predict", str(runs["standard"]), *map(str, paths), "--trust-code", "--workers", "0", "--json", *flags
        )
        first: dict[str, Any] = json.loads(asked.stdout)[0]
        return first

    plain, averaged = row("--unknown", "--all"), row("--unknown", "--all", "--tta", "views:3")
    assert plain["unlike"] == averaged["unlike"]
    assert plain["probabilities"] != averaged["probabilities"]


@pytest.mark.parametrize(
    ("use", "asked", "said"),
    [
        ("none", "views:4", "of 'none' all views are the same; use --tta flip"),
        ("geometric", "views:9", "'geometric', has 8 views; use --tta views:8"),
        ("standard", "views:1", "it is flip, or views:8 for as many views, 2 to 64"),
        ("standard", "mirror", "it is flip, or views:8 for as many views, 2 to 64"),
    ],
)
def test_views_that_there_are_not_are_refused(use: str, asked: str, said: str, runs: dict[str, Path]) -> None:
    with pytest.raises(FtError, match=said):
        loaded(runs[use], asked)


def test_views_of_a_run_without_its_config_are_refused_and_flip_is_not(runs: dict[str, Path], tmp_path: Path) -> None:
    from ft.extension.installed import load_plugins

    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).symlink_to(runs["standard"] / name)
    with pytest.raises(FtError, match=r"holds no config\.yaml that names it; --tta flip needs none"):
        averaged_over("views:2", Run(tmp_path), Preprocessing(), load_plugins(), trust_code=True)
    assert loaded(tmp_path, "flip").classes == loaded(runs["standard"]).classes


@pytest.mark.filterwarnings("ignore::ft.FtWarning")  # what is frozen is random
def test_a_phase_that_leaves_the_augmentation_open_has_the_one_that_followed(tmp_path: Path, paths: list[Path]) -> None:
    phases = [{"freeze": "all"}, {"freeze": []}]
    run = ft.finetune(**KEYS, phases=phases, run_dir=tmp_path / "run")
    model = loaded(run.path, "views:2")
    assert not told(model, paths).equal(told(loaded(run.path), paths))


def test_an_unknown_keyword_of_load_is_pythons_mistake(runs: dict[str, Path]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'tt'"):
        loaded(runs["none"], tt="flip")


def test_views_are_counted() -> None:
    assert [views_in(text) for text in ("flip", "views:2", "views:64")] == [2, 2, 64]
    for text in ("", "views", "views:", "views:65", "flip:2", "views:²"):
        with pytest.raises(ValueError, match="it is flip"):
            views_in(text)
