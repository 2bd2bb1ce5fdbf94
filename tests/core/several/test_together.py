"""Averages of the weights of runs, and of their answers: what they come to, and on which images that is measured."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file

import ft
from conftest import TINY
from ft.cli import cli
from ft.config.loading import load_config
from ft.data.pictures import Picture
from ft.extension.installed import load_plugins
from ft.finetune import finetune
from ft.inference.load import load_trained
from ft.machine.display import Display
from ft.machine.files import temporary_beside
from ft.run.folder import Run
from ft.serving.of_run import served_run

USUAL: dict[str, Any] = {
    "weights": "none",
    "training.epochs": 2,
    "training.batch_size": 8,
    "training.lr": 0.01,
    "images.size": 16,
    "images.augment": "none",
    "machine.precision": "fp32",
    "machine.device": "cpu",
    "machine.workers": 0,
    "cache.promise": "off",
    "report.html": False,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs a, b and c of one network by other seeds; d, which learnt nothing; e of another split and f of another
    backbone."""
    folder = tmp_path_factory.mktemp("together")
    for label, colour in (("cat", (200, 20)), ("dog", (20, 200))):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(15):
            Image.new("RGB", (20, 20), (number * 8, *colour)).save(folder / "photos" / label / f"{number}.png")

    def run(name: str, model: str = "small", **keys: Any) -> None:
        flags = {"backbone": f"{TINY}:{model}", "data": str(folder / "photos"), "run_dir": folder / name}
        finetune(load_config(flags={**USUAL, **flags, **keys}), load_plugins(), Display())

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FT_CACHE", str(folder / "cache"))
        for seed, name in enumerate("abc"):
            run(name, seed=seed)
        run("d", **{"training.lr": 1e-9, "training.head_lr": 1e-9, "training.epochs": 1, "seed": 5})
        run("e", **{"split.seed": 3, "seed": 1})
        run("f", "deep", seed=1)
    return folder


@pytest.fixture
def type_(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(runs)

    def typed(*words: str, fine: bool = True) -> Any:
        done = CliRunner().invoke(cli, [*words, "--trust-code", "--workers", "0"])
        if fine:
            assert done.exit_code == 0, done.output
            return json.loads(done.stdout) if "--json" in words else done.stdout
        assert isinstance(done.exception, ft.FtError)
        return str(done.exception)

    return typed


Type = Callable[..., Any]


def parts(folder: Path) -> dict[str, str]:
    with (folder / "images.csv").open(newline="") as file:
        return {row["sha256"]: row["split"] for row in csv.DictReader(file)}


def test_a_uniform_average_is_the_mean_of_weights_with_statistics_of_its_own(type_: Type, runs: Path) -> None:
    found = type_("average", "a", "b", "c", "--out", "uniform", "--uniform", "--json")
    every = [load_file(runs / name / "model.safetensors") for name in "abc"]
    made = load_file(runs / "uniform" / "model.safetensors")
    for name in ("stem.0.weight", "fc.weight", "fc.bias"):
        assert made[name].allclose(torch.stack([each[name] for each in every]).mean(0), atol=1e-6)
    for name in ("stem.1.running_mean", "layer2.1.running_var"):
        assert not made[name].allclose(torch.stack([each[name] for each in every]).mean(0), rtol=1e-4)
    again = type_("evaluate", "uniform", "photos", "--split", "val", "--json")
    assert again["images"] == found["images"]["val"] == 6
    assert again["accuracy"] == found["together"]["val"]["accuracy"]
    assert again["loss"] == pytest.approx(found["together"]["val"]["loss"], rel=1e-5)
    alone = {each["run"]: each["val"]["loss"] for each in found["runs"]}
    assert alone["b"] == pytest.approx(json.loads((runs / "b" / "report.json").read_text())["val"]["loss"])


def test_a_greedy_average_is_never_worse_than_the_best_run_and_says_what_it_is_made_of(type_: Type, runs: Path) -> None:
    said = type_("average", "d", "a", "b", "--out", "greedy")
    found = json.loads((runs / "greedy" / "average.json").read_text())
    best = max(each["val"]["accuracy"] for each in found["runs"])
    assert found["together"]["val"]["accuracy"] >= best
    assert ("is better than" if found["better"] else "is no better than") in said
    taken = [each["run"] for each in found["runs"] if each["taken"]]
    about = json.loads((runs / "greedy" / "model.json").read_text())["provenance"]
    assert set(about["weights"]["source"].split(", ")) == set(taken)
    assert about["runs"].keys() == {"d", "a", "b"}
    assert ("no other run helps" in said) == (len(taken) == 1)


def test_an_average_is_used_as_a_run_is(type_: Type, runs: Path) -> None:
    type_("average", "a", "b", "--out", "used")
    model = ft.load(runs / "used", trust_code=True, workers=0)
    assert model.predict(runs / "photos" / "cat" / "1.png").probabilities.keys() == {"cat", "dog"}
    assert type_("report", "used").strip() == "used/report.html"
    report = json.loads((runs / "used" / "report.json").read_text())
    assert "the curves, what trained and what it took are those of" in report["warnings"][0]
    with pytest.raises(ft.FtError, match="is an average of runs, which was not trained; train on from it with"):
        ft.finetune(resume=runs / "used", trust_code=True)


@pytest.mark.parametrize(
    ("command", "names", "message"),
    [
        ("average", ("a", "f"), "the runs differ in backbone: a has .*small; f has .*deep"),
        ("average", ("a",), "it takes two runs or more"),
        ("average", ("a", "b", "a"), "a is named twice"),
        ("average", ("a", "photos"), "holds no model.json, so it is no finished run"),
        ("ensemble", ("a", "nowhere"), "there is no folder nowhere"),
    ],
)
def test_what_does_not_go_together_is_said_in_a_line(
    command: str, names: tuple[str, ...], message: str, type_: Type, runs: Path
) -> None:
    said = type_(command, *names, "--out", "never", fine=False)
    assert re.search(message, said)
    assert "\n" not in said
    assert not (runs / "never").exists()


@pytest.mark.parametrize("make", [ft.average, ft.ensemble])
def test_what_is_stopped_leaves_nothing(make: Any, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = set(runs.iterdir())
    with monkeypatch.context() as patched:
        for module in ("average", "ensemble"):
            patched.setattr(f"ft.several.{module}.write_together", stop)
        with pytest.raises(KeyboardInterrupt):
            make("a", "b", out="stopped", trust_code=True, workers=0)
    assert set(runs.iterdir()) == before
    killed = temporary_beside(runs / "stopped", pid=0)
    killed.mkdir()
    made = make("a", "b", out="stopped", trust_code=True, workers=0)
    assert set(runs.iterdir()) - before == {made.path}
    shutil.rmtree(made.path)


def test_python_puts_runs_together_and_shows_what_the_commands_print(type_: Type, runs: Path) -> None:
    averaged = ft.average("a", runs / "d", out="python", uniform=True, trust_code=True, workers=0)
    found = type_("average", "a", str(runs / "d"), "--out", "typed", "--uniform", "--json")
    assert (averaged.val, averaged.test) == (found["together"]["val"], {})
    assert averaged.taken == tuple(averaged.alone) == ("a", str(runs / "d"))
    assert str(averaged).splitlines()[-1] == "use it: ft predict python IMAGES --trust-code"
    assert re.fullmatch(rf"<average in {runs}/python, accuracy [\d.]+%>", repr(averaged))
    together = ft.ensemble("a", averaged, out="python-too", trust_code=True, workers=0)
    assert "the ensemble is " in str(together)
    image = runs / "photos" / "cat" / "1.png"
    assert together.load(workers=0).predict(image) == ft.load(together, trust_code=True, workers=0).predict(image)
    with pytest.raises(ft.FtError, match=r"runs are named one after the other, .* not as \['a', 'b'\]"):
        ft.average(["a", "b"], out="never")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'outt'"):
        ft.ensemble("a", "b", out="never", outt="never")  # type: ignore[call-arg]


def test_a_folder_whose_name_is_no_text_is_told_so_that_it_can_be_read(type_: Type, runs: Path) -> None:
    named = os.fsdecode(b"not \xff text")
    shutil.copytree(runs / "a", runs / named)
    said = type_("average", named, "b", "--out", "never", fine=False)
    shutil.rmtree(runs / named)
    assert said.startswith("not \\xff text/model.safetensors is no UTF-8, and tensors cannot be read from there; ")


def test_a_folder_that_holds_something_is_left_alone(type_: Type, runs: Path) -> None:
    assert "a is not empty" in type_("average", "b", "c", "--out", "a", fine=False)
    assert "choose another --out" in type_("ensemble", "b", "c", "--out", "a", fine=False)


def test_runs_of_other_splits_are_measured_on_images_that_trained_none_of_them(type_: Type, runs: Path) -> None:
    found = type_("ensemble", "a", "e", "--out", "split", "--json")
    one, other, both = parts(runs / "a"), parts(runs / "e"), parts(runs / "split")
    common = {digest for digest, part in one.items() if part == other[digest] == "val"}
    assert {digest for digest, part in both.items() if part == "val"} == common
    assert found["images"] == {"val": len(common)}
    assert 0 < len(common) < 6


def test_an_ensemble_answers_with_the_average_of_what_its_runs_answer(type_: Type, runs: Path) -> None:
    found = type_("ensemble", "a", "f", "--out", "both", "--json")
    again = type_("evaluate", "both", "photos", "--split", "val", "--json")
    assert again["accuracy"] == found["together"]["val"]["accuracy"]
    assert again["loss"] == pytest.approx(found["together"]["val"]["loss"], rel=1e-4)

    image = runs / "photos" / "dog" / "3.png"
    both = ft.load(runs / "both", trust_code=True, workers=0)
    shares = []
    for name in ("a", "f"):
        model = ft.load(runs / name, trust_code=True, workers=0)
        shares.append(model.module(model.prepare(image)).softmax(1)[0])
    (temperature,) = both.numbers["temperature"]
    wanted = (torch.stack(shares).mean(0).log() / temperature).softmax(0)
    answer = both.predict([image, image])[1]
    assert torch.tensor([answer.probabilities[name] for name in ("cat", "dog")]).allclose(wanted, atol=1e-4)
    assert both.predict(image).label == answer.label
    flipped = ft.load(runs / "both", tta="flip", trust_code=True, workers=0)
    assert flipped.predict(image).label == answer.label


def test_an_ensemble_says_which_image_cannot_be_read_and_answers_to_the_others(type_: Type, runs: Path) -> None:
    type_("ensemble", "a", "b", "--out", "some")
    (runs / "broken.png").write_bytes(b"no image")
    model = ft.load(runs / "some", trust_code=True, workers=0)
    good = runs / "photos" / "cat" / "1.png"
    with pytest.warns(ft.FtWarning, match=r"1 of 3 images has no answer"):
        first, none, last = model.predict([good, runs / "broken.png", good], bad_images="skip")
    assert none is None
    assert first == last


def test_an_ensemble_is_served_with_the_same_answers(type_: Type, runs: Path) -> None:
    type_("ensemble", "a", "f", "--out", "served")
    trained = load_trained(
        Run(runs / "served"), load_plugins(), {"workers": 0, "precision": "fp32"}, 32, trust_code=True
    )
    served, picture = served_run(trained, "served"), Picture.at(runs / "photos" / "dog" / "3.png")
    (answer,) = served.answer([served.prepare(picture)], [picture.name])
    assert answer == replace(ft.load(runs / "served", trust_code=True, workers=0).predict(picture.path), image="")
    assert served.explain is None


def test_what_is_of_one_network_is_refused_of_an_ensemble(type_: Type, runs: Path) -> None:
    type_("ensemble", "a", "b", "--out", "two")
    model = ft.load(runs / "two", trust_code=True, workers=0)
    image = runs / "photos" / "cat" / "1.png"
    for ask in (
        lambda: model.module,
        lambda: model.embed(image),
        lambda: model.explain(image),
        lambda: model.unlike(image),
    ):
        with pytest.raises(ft.FtError, match=r"that is of one network, and .*two holds several; ask .*member-1"):
            ask()
    with pytest.raises(ft.FtError, match=r"holds an ensemble, which ft predict, ft evaluate and ft\.load take"):
        ft.export(runs / "two", "onnx", trust_code=True)
    (runs / "two" / "ensemble.json").write_text('{"members": ["member-1", "../a"]}')
    with pytest.raises(ft.FtError, match=r"ensemble\.json is not what ft writes"):
        ft.load(runs / "two", trust_code=True)
