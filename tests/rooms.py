"""The rooms of core/ft."""

from __future__ import annotations

from pathlib import Path

CORE = Path(__file__).parents[1] / "core" / "ft"

ROOMS = (
    "_version",
    "errors",
    "text",
    "extension",
    "config",
    "machine",
    "pages",
    "task",
    "weights",
    "prefix",
    "data",
    "model",
    "plan",
    "run",
    "tracking",
    "job",
    "cache",
    "training",
    "insight",
    "inference",
    "several",
    "opening",
    "precision",
    "deciding",
    "budget",
    "depths",
    "phases",
    "gathering",
    "judging",
    "knowing",
    "reporting",
    "exporting",
    "serving",
    "probing",
    "probing_page",
    "lr_finding",
    "lr_shown",
    "beginning",
    "finetune",
    "cross_validation",
    "handed",
    "front",
    "together",
    "scaffold",
    "testing",
    "cli",
    "pytest_plugin",
    "__main__",
)
"""From the bottom floor up: a module may import its own room and those that stand above it in this list."""
