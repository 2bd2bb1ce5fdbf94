"""Which key of the config a name means in `--over`: a flag of `ft run` without its dashes, or any key as --set has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from ft.config.flags import FLAGS
from ft.config.keywords import BY_NAME
from ft.config.loading import read_set
from ft.config.schema import Config
from ft.errors import FtError, did_you_mean

COMPARED = ("data", "split", "training.monitor", "run_dir")
"""Keys that are the same for all trials: they are compared by one figure of the same validation images."""


def path_of(name: str) -> tuple[str, ...]:
    """The keys that lead to what a name means. Raises FtError for one that means nothing, or what all trials share.

    >>> path_of("head-lr"), path_of("optimizer.momentum")
    (('training', 'head_lr'), ('training', 'optimizer', 'momentum'))
    """
    flag = name.strip().removeprefix("--").replace("-", "_")
    flag = {"from": "from_run"}.get(flag, flag)
    path = tuple(BY_NAME[flag].split(".")) if flag in BY_NAME else read_set(f"{name}=0").path
    key = ".".join(path)
    if any(f"{key}.".startswith(f"{each}.") for each in COMPARED) or key == "task":
        raise FtError(
            f"--over {name}: trials are compared by one figure of the same validation images, so {key} is the same for "
            "all of them"
        )
    _check_known(name, path)
    return path


def _check_known(name: str, path: Sequence[str]) -> None:
    """Raise FtError for a path that leads nowhere in the config; settings of components are theirs to know."""
    model: Any = Config
    for number, key in enumerate(path):
        if get_origin(model) is tuple:
            model = get_args(model)[0]
            if key.isdecimal():
                continue
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return
        if key not in model.model_fields:
            if model.model_config.get("extra") == "allow" or "use" in model.model_fields:
                return
            known = sorted({*model.model_fields, *(_names() if number == 0 else ())})
            place = ".".join([*path[:number], key])
            raise FtError(f"--over {name}: there is no key '{place}'.{did_you_mean(key, known)} It is a flag of ft run "
                          "without its dashes, or a key of the config, as training.lr")  # fmt: skip
        model = model.model_fields[key].annotation


def _names() -> list[str]:
    return [flag.partition("/")[0].removeprefix("--") for flag, _, _, _ in FLAGS]


def fixed_twice(paths: Mapping[tuple[str, ...], str], given: Sequence[tuple[tuple[str, ...], str]]) -> None:
    """Raise FtError where a key is swept over and `given` a value, too."""
    for path, called in given:
        if path in paths:
            raise FtError(f"{called} and --over {paths[path]} are the same key; leave one of them out")
