"""The example distributions pass their tests, the conformance kit among them, from their installed wheels."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

import warm_python
import wheels

EXAMPLES = sorted(path.parent for path in (Path(__file__).parents[3] / "examples").glob("*/pyproject.toml"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.install(EXAMPLES, tmp_path_factory.mktemp("examples"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_passes_from_its_wheel(example: Path, site: Path, tmp_path: Path) -> None:
    for requirement in tomllib.loads((example / "pyproject.toml").read_text())["project"]["dependencies"]:
        name = requirement.partition("=")[0].rstrip(">~< ")
        try:
            distribution(name)
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
    options = ("-c", str(example / "pyproject.toml"), "--rootdir", str(tmp_path), "-p", "no:cacheprovider", "-q")
    arguments = [str(site), example.name.replace("-", "_"), *options, str(example / "tests")]
    process = warm_python.start(wheels.TEST, arguments, tmp_path, PYTHONPATH=str(site))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3
