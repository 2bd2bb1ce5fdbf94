"""What is served is what `ft predict` says, and what `ft explain` draws."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

import ft as ft_
from ft.extension.installed import load_plugins
from ft.inference.load import load_trained
from ft.run.folder import Run
from ft.serving.limits import Batching
from ft.serving.of_run import served_run
from serving import Client, serving

pytestmark = [pytest.mark.trains, pytest.mark.slow]
Ft = Callable[..., Result]


@contextmanager
def served(run: Path, batch_size: int = 32, tta: str | None = None) -> Iterator[Client]:
    machine = {"device": "cpu", "precision": "fp32", "tta": tta}
    trained = load_trained(Run(run), load_plugins(), machine, batch_size=32, trust_code=True)
    with serving(served_run(trained, str(run)), batching=Batching(batch_size, 0.005)) as client:
        yield client


def images(run: Path) -> list[str]:
    return [str(run.parent / f"{number}.png") for number in range(0, 24, 3)]


def predicted(ft: Ft, run: Path, *flags: str) -> list[dict[str, Any]]:
    """What the command line says of the same files, by the names that they are sent with."""
    told = json.loads(ft("predict", str(run), *images(run), "--json", "--trust-code", *flags).stdout)
    return [{**each, "path": f"{number}.png"} for number, each in enumerate(told)]


def near(record: dict[str, Any]) -> dict[str, Any]:
    """A record whose numbers may differ in their last bits, as they do in another batch."""

    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            return pytest.approx(value, abs=1e-6, rel=1e-5)
        if isinstance(value, list):
            return [rounded(each) for each in value]
        return {name: rounded(each) for name, each in value.items()} if isinstance(value, dict) else value

    return {name: rounded(value) for name, value in record.items()}


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_answers_are_those_of_ft_predict(ft: Ft, run_of: Callable[[str], Path], task: str) -> None:
    run = run_of(task)
    contents = [Path(path).read_bytes() for path in images(run)]
    with served(run) as client:
        together = client.post("/predict?top=2", *contents)
        assert together.json() == [near(each) for each in predicted(ft, run, "--top", "2")]
        alone = [client.post("/predict", content).json()[0] for content in contents]
        names = [{**each, "path": "0.png"} for each in predicted(ft, run, "--batch-size", "1")]
        assert alone == names, "an image alone in its batch has the same answer in every bit"
        if task != "regression":
            assert client.post("/predict?all=true", *contents).json() == [near(e) for e in predicted(ft, run, "--all")]


def test_views_are_averaged_as_by_ft_predict(ft: Ft, run_of: Callable[[str], Path]) -> None:
    run = run_of("classification")
    with served(run, tta="flip") as client:
        found = client.post("/predict", *[Path(path).read_bytes() for path in images(run)], b"nothing")
        assert (found.status_code, found.json()["reason"]) == (415, "format")
        assert found.json()["images"][:-1] == [near(each) for each in predicted(ft, run, "--tta", "flip")]


@pytest.mark.parametrize(("task", "of"), [("classification", ""), ("multilabel", "green"), ("regression", "")])
def test_a_map_is_that_of_ft_explain(run_of: Callable[[str], Path], task: str, of: str) -> None:
    run = run_of(task)
    [path, *_] = images(run)
    expected = ft_.load(run, trust_code=True, device="cpu", precision="fp32").explain(path, of or None)
    with served(run) as client:
        told = client.post("/explain" + (f"?of={of}" if of else ""), Path(path).read_bytes()).json()
    drawn = Image.open(BytesIO(base64.b64decode(told["map"]["overlay"].partition(",")[2])))
    assert drawn.size == (expected.width, expected.height)
    assert (told["map"]["of"], told["map"]["box"]) == (expected.of, list(expected.box))
    assert told["map"]["output"] == pytest.approx(expected.output, rel=1e-5)
    assert (told["probabilities"] is None) == (task == "regression")
    assert told["answer"]
