"""Configs as files hold them: read into a tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ft.errors import FtError
from ft.text.documents import parse_yaml
from ft.text.reading import read_text


def read_tree(file: Path) -> dict[str, Any]:
    """Read a config, or what `ft plan --json` printed, from YAML or JSON. Raises FtError naming the file."""
    try:
        text = read_text(file)
    except (OSError, UnicodeDecodeError) as error:
        raise FtError(f"cannot read the config {file}: {getattr(error, 'strerror', None) or error}") from error
    tree = as_tree(text, str(file))
    if not isinstance(tree, dict):
        what = "is empty" if tree is None else "is no mapping"
        raise FtError(f"the config {file} {what}; it begins like 'backbone: torchvision:resnet18'")
    return tree["config"] if tree.keys() - {"folds", "later_plans"} == {"config", "plan"} else tree


def as_tree(text: str, where: str) -> Any:
    """What a text in YAML or JSON holds. Raises FtError that names `where` it stands."""
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise FtError(f"{where}: {error}") from None
