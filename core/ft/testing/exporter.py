"""Checks for exporters, on a network of a few hundred parameters."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ft.errors import FtError
from ft.exporting.beside import use_of
from ft.extension.exporters import Exporter, Portable
from ft.extension.installed import Component, implementation, load_plugins
from ft.extension.references import parse_reference
from ft.testing.listing import listing_it_loads_no_library
from ft.testing.portable import SIDE, portable_model
from ft.testing.trial import Check, Trial, expect
from ft.testing.worker import search_in

CLOSE = 1e-4


def the_file_computes_what_the_model_does(trial: Trial) -> None:
    """Of one image and of several, of any size where it says so, within what float32 allows, also in a process that was
    spawned; the outputs have their names, and the lines of `use` define a `model(images)` that returns the first."""
    record: Exporter = trial.component.record
    model = portable_model(record.any_size)
    for number, settings in enumerate(trial.read_settings()):
        folder = trial.folder / f"exported-{number}"
        folder.mkdir()
        try:
            trial.call("export", model, folder, settings)
            compute = trial.call("load", folder)
        except FtError as error:
            raise trial.unfit(None, error) from None
        expect((folder / record.file).exists(), f"{trial.label} writes no {record.file}, which its record names")
        used = _used(trial, folder, model.outputs)
        images, place = model.example.numpy(), (trial.component.kind.name, trial.reference, folder)
        search = [os.path.abspath(path) for path in sys.path]
        elsewhere = trial.worker.submit(computed_elsewhere, search, *place, images).result()
        _expect_alike(trial, model, elsewhere, images)
        for images in _images(record.any_size):
            _expect_alike(trial, model, compute(images), images)
            if used is not None:
                _expect_alike(trial, model, {model.outputs[0]: used(images)}, images)


def _used(trial: Trial, folder: Path, outputs: Sequence[str]) -> Any:
    """What the lines of `use` define; None where they say that the kit's network is code, which they may not run."""
    known: dict[str, Any] = {"folder": folder}
    try:
        exec(compile("\n".join(use_of(trial.component.record, outputs)), "use", "exec"), known)
    except FtError:
        return None
    expect(callable(known.get("model")), f"{trial.label}: the lines of `use` define no model(images)")
    return known["model"]


def _images(any_size: bool) -> list[Any]:
    import numpy as np

    drawn = np.random.default_rng(1)
    shapes = [(1, SIDE, SIDE, 3), (3, SIDE, SIDE, 3), *([(1, SIDE + 9, 2 * SIDE, 3)] if any_size else [])]
    return [drawn.integers(256, size=shape, dtype=np.uint8) for shape in shapes]


def _expect_alike(trial: Trial, model: Portable, found: Mapping[str, Any], images: Any) -> None:
    import numpy as np
    import torch

    name = model.outputs[0]
    with torch.no_grad():
        expected = model.module(torch.from_numpy(images))[0].numpy()
    expect(name in found, f"{trial.label} gives {', '.join(found) or 'nothing'}, and no {name}")
    given = np.asarray(found[name])
    shape = f"{trial.label} gives {list(given.shape)} of {name} for {list(images.shape)}, not {list(expected.shape)}"
    expect(given.shape == expected.shape, shape)
    apart = float(np.abs(given - expected).max())
    expect(apart <= CLOSE, f"{trial.label}: {name} differ from the model's by {apart:.3g}")


def computed_elsewhere(search_path: list[str], kind: str, reference: str, folder: Path, images: Any) -> Any:
    """What a file gives, loaded by a component that is found anew; runs in the worker."""
    search_in(search_path)
    return implementation(load_plugins().get(kind, parse_reference(reference)), "load")(folder)(images)


def answer(component: Component, argument: None, settings: Any) -> list[str]:
    """What does its work. That another process reads a file is seen with the file."""
    return [implementation(component, name).__qualname__ for name in component.kind.callables]


CHECKS: tuple[Check, ...] = (the_file_computes_what_the_model_does, listing_it_loads_no_library)
