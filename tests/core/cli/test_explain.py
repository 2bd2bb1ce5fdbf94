"""`ft explain`, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from conftest import TINY

Ft = Callable[..., Result]
QUICK = (
    *("--backbone", f"{TINY}:small", "--weights", "none", "--image-size", "16", "--epochs", "1", "--workers", "0"),
    *("--precision", "fp32", "--device", "cpu", "--freeze", "all", "--cache", "off"),
    *("--set", "data={use: demo, images_per_class: 6, size: 32}", "--set", "report.html=false"),
)


@pytest.mark.trains
def test_overlays_are_drawn_and_told(ft: Ft, tmp_path: Path) -> None:
    ft("run", *QUICK, "--run-dir", "r")
    for name in ("cat/1.png", "dog/1.png"):
        Path(name).parent.mkdir()
        Image.effect_noise((40, 30), 80).convert("RGB").save(name)

    done = ft("explain", "r", "cat", "dog", "dog", "--out", "seen", "--trust-code")
    assert [line.split()[:2] for line in done.stdout.splitlines() if "─" not in line] == [
        ["image", "overlay"],
        ["cat/1.png", "seen/cat/1.png"],
        ["dog/1.png", "seen/dog/1.png"],
    ]
    assert "2 overlays in seen, by Grad-CAM (Selvaraju et al. 2017) at layer2" in done.stderr
    with Image.open("seen/dog/1.png") as overlay:
        assert (overlay.size, overlay.mode) == ((40, 30), "RGB")

    asked = ("--of", "cross", "--of", "circle")
    found = json.loads(ft("explain", "r", "dog", "--out", "seen", "--json", "--trust-code", *asked).stdout)
    assert [(each["overlay"], each["of"]) for each in found] == [
        ("seen/1.cross.png", "cross"),
        ("seen/1.circle.png", "circle"),
    ]
    assert found[0].keys() == {"path", "overlay", "of", "output", "method", "layer", "box", "empty", "error"}
    assert found[0]["box"] == [7, 2, 33, 28]
    assert all(Path(each["overlay"]).exists() for each in found)

    Path("cat/2.png").write_bytes(b"nothing")
    bad = ft("explain", "r", "cat", "--out", "other", "--trust-code", fails=True)
    assert "1 of 2 images have no answer:\n  cannot read the image cat/2.png: not an image" in str(bad.exception)
    assert [path.name for path in Path("other").iterdir()] == ["1.png"]
    skipped = ft("explain", "r", "cat", "--out", "other", "--trust-code", "--bad-images", "skip")
    assert "warning: 1 of 2 images" in skipped.stderr

    wrong = ft("explain", "r", "cat/1.png", "--out", "x", "--of", "crss", "--trust-code", fails=True)
    assert "there is no class 'crss' to explain. Did you mean 'cross'?" in str(wrong.exception)
    over = ft("explain", "r", "cat/1.png", "--out", "cat", "--trust-code", fails=True)
    assert "would be written over an image that was given" in str(over.exception)
    assert not Path("x").exists()
