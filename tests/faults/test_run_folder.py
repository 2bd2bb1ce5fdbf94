"""A run's folder from a stranger: whatever is in its files, a command gives the right answer or an error of ft's own.

A finished run of a tiny network is made once; each try changes one value of one file of a copy of it.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from conftest import TINY
from faults.interrupted_commands import make_images
from faults.repetitions import times
from faults.test_malformed import mutated
from ft.cli import cli
from ft.errors import FtError

FLAGS = ["--workers", "0", "--device", "cpu"]
OTHERS: list[Any] = [None, True, 0, -1, 7, 10**12, 10**400, 1.5, float("nan"), "junk", "", "\0", "a" * 5000, [], {}]
OTHERS += [["x"], {"use": 3}, [[]] * 30, {"x": {"y": []}}, "../../..", "[/b]", "\ud83d"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, and with a run in `r` that is finished and did not freeze everything."""
    folder = tmp_path_factory.mktemp("finished")
    make_images(folder / "images", 4)
    code, said = command(
        folder,
        *("run", "--backbone", f"{TINY}:small", "--weights", "none", "--data", "./images", "--run-dir", "r"),
        *("--freeze", "regex:stem.*", "--epochs", "1", "--image-size", "16", "--batch-size", "4", *FLAGS),
        *("--precision", "fp32", "--cache", "off"),
    )
    assert code == 0, said
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def command(folder: Path, *args: str) -> tuple[int, str]:
    """Run a command in `folder`; its exit code, and what it says. Anything but an answer or an FtError fails."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(cli, list(args))
    finally:
        os.chdir(before)
    if isinstance(done.exception, FtError):
        return 2, str(done.exception)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def predicted(folder: Path) -> tuple[int, str]:
    return command(folder, "predict", "r", "images/cat", "--trust-code", "--json", *FLAGS)


COMMANDS: dict[str, Callable[[Path], tuple[int, str]]] = {
    "predict": predicted,
    "evaluate": lambda f: command(f, "evaluate", "r", "./images", "--split", "val", "--trust-code", *FLAGS),
    "resume": lambda f: command(f, "run", "--resume", "r", "--trust-code"),
    "locked": lambda f: command(f, "run", "--locked", "r", "--trust-code", "--run-dir", "again", "--epochs", "1"),
    "plan": lambda f: command(f, "plan", "--config", "r/config.yaml", "--run-dir", "other"),
}
READ_BY = {
    "model.json": ["predict"],
    "config.yaml": ["plan", "resume"],
    "plan.json": ["resume"],
    "versions.json": ["resume", "locked"],
    "images.csv": ["resume", "evaluate"],
}


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a tree."""
    if path:
        yield path
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from places(value, (*path, key))


def with_another(tree: Any, rng: random.Random) -> Any:
    """A copy of a tree in which a value is another, is gone, or came in addition."""
    tree = json.loads(json.dumps(tree))
    *above, last = rng.choice(list(places(tree)))
    parent = tree
    for key in above:
        parent = parent[key]
    match rng.randrange(4):
        case 0:
            del parent[last]
        case 1 if isinstance(parent, dict):
            parent[f"{last}x"] = parent[last]
        case 2 if isinstance(parent, list):
            parent.append(parent[last])
        case _:
            parent[last] = rng.choice(OTHERS)
    return tree


def changed_text(path: Path, rng: random.Random) -> bytes:
    """What may be in a text file in place of what is."""
    content = path.read_bytes()
    if path.suffix == ".csv" or rng.random() < 0.15:
        return mutated(content, rng)
    if path.suffix == ".json":
        return json.dumps(with_another(json.loads(content), rng)).encode()
    return yaml.safe_dump(with_another(yaml.safe_load(content), rng)).encode()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READ_BY)
def test_a_text_file_that_was_changed_gives_the_answer_or_an_error(name: str, folder: Path) -> None:
    rng, path = random.Random(name), folder / "r" / name
    original, answer = path.read_bytes(), predicted(folder)
    assert answer[0] == 0
    refused = 0
    for _ in range(times(150, 8)):
        path.write_bytes(original)
        path.write_bytes(changed_text(path, rng))
        for each in READ_BY[name]:
            shutil.rmtree(folder / "again", ignore_errors=True)
            code, said = COMMANDS[each](folder)
            assert code in (0, 2), said
            assert said.strip()
            refused += code == 2
            if each == "predict" and code == 0:
                assert len(json.loads(said)) == 4
    print(f"\n{name}: {refused} refused")
    assert refused


TensorChange = Callable[[dict[str, torch.Tensor], str], object]
TENSOR_CHANGES: dict[str, TensorChange] = {
    "gone": lambda tensors, name: tensors.pop(name),
    "another name": lambda tensors, name: tensors.__setitem__(name + "x", tensors.pop(name)),
    "NaN": lambda tensors, name: tensors.__setitem__(name, torch.full_like(tensors[name], torch.nan)),
    "infinite": lambda tensors, name: tensors.__setitem__(name, torch.full_like(tensors[name], torch.inf)),
    "int8": lambda tensors, name: tensors.__setitem__(name, tensors[name].to(torch.int8)),
    "float16": lambda tensors, name: tensors.__setitem__(name, tensors[name].half()),
    "another shape": lambda tensors, name: tensors.__setitem__(name, torch.zeros(3, 5)),
}


@pytest.mark.parametrize("how", TENSOR_CHANGES)
def test_a_tensor_that_does_not_fit_is_named(how: str, folder: Path) -> None:
    path = folder / "r" / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if tensors[name].dim() == 2)
    TENSOR_CHANGES[how](tensors, name)
    save_file(tensors, path)
    for each in ("predict",) if how == "gone" else ("predict", "resume"):  # the last state holds the head, too
        code, said = COMMANDS[each](folder)
        assert code == 2, (each, said)
        assert "model.safetensors" in said
        assert name in said


@pytest.mark.parametrize("how", TENSOR_CHANGES)
def test_a_tensor_of_a_checkpoint_that_does_not_fit_is_named(how: str, folder: Path) -> None:
    path = folder / "r" / "last.pt"
    content = torch.load(path, weights_only=True)
    name = next(name for name, tensor in content["tensors"].items() if tensor.dim() == 2)
    TENSOR_CHANGES[how](content["tensors"], name)
    torch.save(content, path)
    if how == "gone":  # model.safetensors has it, too, as it was in the best epoch
        (folder / "r" / "model.safetensors").unlink()
        save_file({"stem.0.weight": torch.zeros(8, 3, 3, 3)}, folder / "r" / "frozen.safetensors")
    code, said = COMMANDS["resume"](folder)
    assert code == 2, said
    assert name in said or how == "gone"


@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_that_was_changed_is_refused_in_fts_own_words(folder: Path) -> None:
    path, rng = folder / "r" / "last.pt", random.Random(3)
    original = path.read_bytes()
    content = torch.load(path, weights_only=True)
    plain = {key: value for key, value in content.items() if key not in ("tensors", "optimizer")}
    refused = 0
    for number in range(times(150, 12)):
        if number % 2:
            path.write_bytes(mutated(original, rng))
        else:
            changed = with_another(plain, rng)
            torch.save({**{k: content[k] for k in ("tensors", "optimizer")}, **changed}, path)
        code, said = COMMANDS["resume"](folder)
        assert code in (0, 2), said
        assert "weights_only" not in said
        assert "torch.serialization" not in said
        refused += code == 2
    assert refused


def test_views_of_one_value_and_compressed_tensors_are_not_unfolded(folder: Path) -> None:
    path = folder / "r" / "last.pt"
    content = torch.load(path, weights_only=True)
    name = next(iter(content["tensors"]))
    content["tensors"][name] = torch.zeros(1).expand(10**13)
    torch.save(content, path)
    assert "more values than are in the file" in COMMANDS["resume"](folder)[1]
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(folder / "c.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for part in stored.namelist():
            packed.writestr(part, stored.read(part))
    os.replace(folder / "c.pt", path)
    assert "it is compressed" in COMMANDS["resume"](folder)[1]


@pytest.mark.parametrize("name", [*READ_BY, "model.safetensors", "last.pt"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(name: str, folder: Path) -> None:
    (folder / "r" / name).unlink()
    os.mkfifo(folder / "r" / name)
    for each in READ_BY.get(name, ["resume"]):
        code, said = COMMANDS[each](folder)
        assert code == 2
        assert "it is a pipe, not a plain file" in said or name == "config.yaml"


WRONG: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("fit", lambda model: model["preprocessing"].update(fit="x"), "preprocessing.fit"),
    ("a mean of one", lambda model: model["preprocessing"].update(mean=[0.5]), "preprocessing.mean"),
    ("resize", lambda model: model["preprocessing"].update(resize_size=1), "resize_size is 1"),
    ("crop", lambda model: model["preprocessing"].update(crop_size=30_000, resize_size=30_000), "crop_size is 30000"),
    ("std", lambda model: model["preprocessing"].update(std=[0.2, 0.0, 0.2]), "std is"),
    ("NaN", lambda model: model["preprocessing"].update(mean=[0.5, float("nan"), 0.5]), "preprocessing.mean"),
    ("range", lambda model: model["preprocessing"].update(value_range=[4.0, 4.0]), "value_range is"),
    ("text", lambda model: model["preprocessing"].update(crop_size="16"), "preprocessing.crop_size"),
    ("new", lambda model: model["preprocessing"].update(gamma=2), "preprocessing.gamma"),
    ("twice", lambda model: model.update(classes=["cat", "cat"]), "'cat' is there twice"),
    ("empty", lambda model: model.update(classes=["cat", ""]), "classes.1"),
    ("none", lambda model: model.update(classes=[]), "classes"),
    ("more", lambda model: model.update(classes=["a", "b", "c"]), "does not fit the model"),
    ("format", lambda model: model.update(format=2), "format"),
    ("a newer key", lambda model: model.update(threshold=0.5), "threshold"),
    ("two temperatures", lambda model: model.update(numbers={"temperature": [1.0, 2.0]}), "temperature"),
    ("a temperature of 0", lambda model: model.update(numbers={"temperature": [0.0]}), "temperature"),
    ("a temperature without an end", lambda model: model.update(numbers={"temperature": [math.inf]}), "temperature"),
    ("no head", lambda model: model.pop("head"), "head"),
]


@pytest.mark.parametrize(("change", "said"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_model_file_that_would_answer_wrongly_is_refused(
    change: Callable[[dict[str, Any]], object], said: str, folder: Path
) -> None:
    path = folder / "r" / "model.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    code, answer = predicted(folder)
    assert code == 2, answer
    assert said in answer
    assert "\n" not in answer.strip()


def test_a_model_that_makes_no_numbers_gives_no_answer(folder: Path) -> None:
    path = folder / "r" / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("running_var"))
    tensors[name] = torch.full_like(tensors[name], -1.0)  # a number, whose root is none
    save_file(tensors, path)
    for each in ("predict", "evaluate"):
        code, said = COMMANDS[each](folder)
        assert code == 2
        assert "the model makes no number" in said
        assert ".png" in said
