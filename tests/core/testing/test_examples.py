"""The example distributions pass their tests, the conformance kit among them, from their installed wheels."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/pyproject.toml"))


@pytest.mark.slow
@pytest.mark.parametrize("project", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_passes_from_its_wheel(project: Path, tmp_path: Path) -> None:
    for requirement in tomllib.loads(project.read_text())["project"]["dependencies"]:
        name = requirement.partition("=")[0].rstrip(">~< ")
        try:
            distribution(name)
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
    site = tmp_path / "site"
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target")
    environ = {**os.environ, "PYTHONPATH": str(site)}  # before what may be installed as editable

    def run(*args: str) -> None:
        done = subprocess.run([sys.executable, *args], cwd=tmp_path, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    run(*install, str(site), str(project.parent))
    options = ("-c", str(project), "--rootdir", str(tmp_path), "-p", "no:cacheprovider", "-q")
    run("-m", "pytest", *options, str(project.parent / "tests"))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3
