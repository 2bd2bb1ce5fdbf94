"""The data as the network sees it: views that training made, by label, and a warning of what the crop discards."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.extension.sections import Note, Pictures, Section
from ft.finetune import finetune
from ft.machine.display import Display
from ft.reporting.finished import read_finished
from ft.reporting.found import Found
from ft.reporting.seen import Made, as_the_network_sees_it


def seen(config: Config, plugins: Plugins) -> tuple[Section, Made]:
    finished = read_finished(finetune(config, plugins, Display())[0], plugins, trust_code=True)
    return as_the_network_sees_it(finished, Found(finished, plugins), plugins)


def test_each_label_has_a_row_of_its_image_and_three_views(
    tiny_config: Callable[..., Config], plugins: Plugins
) -> None:
    config = tiny_config(images__augment="standard")
    section, made = seen(config, plugins)
    rows = [part for part in section.parts if isinstance(part, Pictures)]
    assert {row.title for row in rows} == {"circle", "cross", "square", "triangle"}
    assert [shot.caption for shot in rows[0].shots] == ["as it is measured", "epoch 1", "epoch 2", "epoch 3"]
    assert "In training they are varied (augmentation standard)." in section.lead
    first = min(shot.place for row in rows for shot in row.shots)
    assert first == 4 * 6
    assert [shot.place for row in rows for shot in row.shots] == list(range(first, first + len(made.photos)))
    assert len(made.names) == len(made.photos)
    assert {Image.open(BytesIO(photo)).size for photo in made.photos} == {(16, 16)}


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_long_images_are_warned_of_where_they_are_cropped(
    tiny_config: Callable[..., Config], plugins: Plugins, tmp_path: Path, fit: str
) -> None:
    for number in range(16):
        place = tmp_path / "long" / f"class {number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (90, 30), (number * 10, 100, 20)).save(place / f"{number}.png")
    section, _ = seen(tiny_config(data=str(tmp_path / "long"), images__fit=fit, training__epochs=1), plugins)
    warnings = [part.text for part in section.parts if isinstance(part, Note) and part.warns]
    assert [re.sub(r"\d+", "N", text)[:60] for text in warnings] == (
        ["The crop to a square discards more than half of N images of "] if fit == "crop" else []
    )
