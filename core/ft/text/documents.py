"""YAML and JSON, whoever wrote them, within bounds: no text of a few bytes may stand for a tree without end."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ft.text.reading import MOST_TEXT, read_text

DEEPEST = 40
"""Levels of a document. Whatever walks through one calls itself for each."""
_MOST_NODES = 20_000
"""Values of a YAML document, each as often as anchors repeat it."""
_MOST_YAML = 1_000_000
"""Characters; YAML is read slowly."""
_LONGEST_NUMBER = 100
"""Characters; what takes long to read as a number, or cannot be shown as one, is far longer."""


def read_json(path: Path, most: int = MOST_TEXT) -> Any:
    """Return what a JSON file holds. Raises OSError, and ValueError for what is no JSON, or beyond the bounds."""
    return parse_json(read_text(path, most))


def parse_json(text: str) -> Any:
    """Return what a JSON text holds. Raises ValueError for what is no JSON, is too deep, or names a key twice."""
    try:
        tree = json.loads(text, object_pairs_hook=_mapping)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep") from None
    level: list[Any] = [tree]
    for _ in range(DEEPEST):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return tree
    raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def parse_yaml(text: str) -> Any:
    """Return what a YAML or JSON text holds. Raises ValueError, in one line, for what is neither, or beyond the bounds.

    1e-3 is a number, off and 2026-01-31 are text, unlike in YAML 1.1, and a key that is given twice is refused.
    """
    if text.lstrip().startswith("{"):
        try:
            return parse_json(text)
        except ValueError:
            pass  # YAML may begin so, too, and says where the fault is
    if len(text) > _MOST_YAML:
        raise ValueError(f"it is longer than {_MOST_YAML:,} characters")
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, LookupError) as error:  # the last two by a tag on what it does not fit
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from None


def as_yaml(tree: Mapping[str, Any]) -> str:
    """Return `tree` as a YAML document that `parse_yaml` reads as the same."""
    return yaml.dump(dict(tree), Dumper=_Dumper, sort_keys=False)


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := _twice(key for key, _ in pairs):
        raise ValueError(f"'{twice}' is given twice")
    return dict(pairs)


def _twice(keys: Iterable[str]) -> str | None:
    return next((key for key, count in Counter(keys).items() if count > 1), None)


def _children(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


_TAG = "tag:yaml.org,2002:"
_KNOWN = tuple(f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map"))


class _Loader(yaml.SafeLoader):
    """Makes of YAML what JSON could hold, too. An anchor may be used again as far as the bounds allow."""

    yaml_constructors = {  # noqa: RUF012 (declared so by yaml)
        tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag in _KNOWN or tag is None
    }
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":bool"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0
        self._whole: dict[yaml.Node, tuple[int, int]] = {}  # how many nodes each stands for, on how many levels

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        again = self.check_event(yaml.AliasEvent)
        self._depth, self._nodes = self._depth + 1, self._nodes + 1
        self._check(mark, self._nodes, self._depth)
        node = super().compose_node(parent, index)
        self._depth -= 1
        assert node is not None
        if again and node not in self._whole:
            raise yaml.MarkedYAMLError(problem="it holds itself", problem_mark=mark)
        if not again:
            below = [self._whole[child] for child in _nodes_in(node)]
            self._whole[node] = 1 + sum(size for size, _ in below), 1 + max((deep for _, deep in below), default=0)
        size, deep = self._whole[node]
        self._check(mark, size, self._depth + deep)
        return node

    def _check(self, mark: yaml.Mark, size: int, depth: int) -> None:
        if depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"it is nested more than {DEEPEST} levels deep", problem_mark=mark)
        if size > _MOST_NODES:
            raise yaml.MarkedYAMLError(problem=f"it stands for more than {_MOST_NODES:,} values", problem_mark=mark)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if node.tag in (f"{_TAG}int", f"{_TAG}float") and len(value) > _LONGEST_NUMBER:
            raise yaml.MarkedYAMLError(
                problem=f"a number of {len(value):,} characters is too long", problem_mark=node.start_mark
            )
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()  # a tag may call anything a mapping
        if twice := _twice(key.value for key, _ in pairs if isinstance(key, yaml.ScalarNode)):
            raise yaml.MarkedYAMLError(problem=f"'{twice}' is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _nodes_in(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [each for pair in node.value for each in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()


class _Dumper(yaml.SafeDumper):
    """Quotes what that loader would take for something else than text."""


_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
for _each in (_Loader, _Dumper):
    _each.add_implicit_resolver(
        f"{_TAG}float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )
