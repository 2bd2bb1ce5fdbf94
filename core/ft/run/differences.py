"""What runs were asked for differently."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOWHERE = "-"
"""What is said of a key that a config does not have, as a setting of another component."""
NEVER = ("run_dir", "training.derived")
"""Keys that nobody asked for: where a run lies, and which others ft filled in."""


@dataclass(frozen=True)
class Difference:
    """A key of the config, as `--set` takes it, and what each of several runs has there, as text."""

    key: str
    values: tuple[str, ...]


def differences(configs: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """The keys in which configs differ, in the order in which they first stand.

    A component that has settings is told apart from its settings: `freeze`, and `freeze.fraction`.

    >>> differences([{"seed": 0, "head": {"use": "mlp"}}, {"seed": 1, "head": {"use": "mlp", "hidden": 8}}])
    [Difference(key='seed', values=('0', '1')), Difference(key='head.hidden', values=('-', '8'))]
    """
    flat = [dict(_flat(config, "")) for config in configs]
    keys = dict.fromkeys(key for each in flat for key in each)
    told = (Difference(key, tuple(each.get(key, NOWHERE) for each in flat)) for key in keys if key not in NEVER)
    return [each for each in told if len(set(each.values)) > 1]


def _flat(tree: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        key = f"{before}.{name}" if before else str(name)
        if name == "use":
            yield before, str(value)
        elif isinstance(value, Mapping):
            yield from _flat(value, key)
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            uses = [str(each.get("use", "")) for each in value]
            if all(uses):
                yield key, ", ".join(uses)
            for number, each in enumerate(value):
                place = key if len(value) == 1 else f"{key}.{number}"
                yield from ((name, said) for name, said in _flat(each, place) if name != place)
        else:
            yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
