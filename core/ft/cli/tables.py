"""A model as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ft.machine.layout import Columns, count, print_pairs, print_table, size

if TYPE_CHECKING:
    from ft.machine.display import Display


def print_model(about: dict[str, Any], parameters: bool, display: Display) -> None:
    """Stages, parameter names and shapes, classifier, preprocessing, weights."""
    console = display.out
    prep = about["preprocessing"]
    print_pairs(
        [
            ("backbone", f"{about['name']}   from {about['distribution']}"),
            ("parameters", count(about["numel"])),
            *(("classifier", f"{path}: {text}") for path, text in about["head"].items()),
            ("features", about["feature_dim"]),
            (
                "images",
                f"resize to {prep['resize_size']} ({prep['interpolation']}), crop {prep['crop_size']}, "
                f"mean {_numbers(prep['mean'])}, std {_numbers(prep['std'])}",
            ),
        ],
        console,
        folded=True,
    )
    display.tell("")
    rows: list[tuple[Any, ...]] = []
    for stage in about["stages"]:
        rows.append((stage["name"], ", ".join(stage["paths"]), "", count(stage["numel"])))
        if parameters:
            rows += [("", f"  {name}", "x".join(map(str, shape)), "") for name, shape in stage["parameters"].items()]
    print_table(("stage", "path", "shape", "parameters"), rows, Columns(right=("shape", "parameters")), console=console)
    weights = [
        (
            e["name"],
            e["file_name"],
            size(e["size"] or e.get("approximate_size")),
            _begun(e["sha256"]) if e["sha256"] else "none published",
            e["url"] or e["source"],
        )
        for e in about["weights"]
    ]
    columns = Columns(right=("size",), squeeze=("from",), spare=("sha256",))
    print_table(("weights", "file", "size", "sha256", "from"), weights, columns, console)


SHOWN = 16
"""Characters of a sha256 that tell it from others; --json has it whole."""


def _begun(digest: str) -> str:
    return digest if len(digest) <= SHOWN else f"{digest[:SHOWN]}…"


def _numbers(values: Sequence[float]) -> str:
    """Numbers for people, with three digits."""
    return f"({', '.join(f'{value:.3g}' for value in values)})"
