"""What a config says that starts from a run: what that was, and what is said over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ft.config.keywords import config_of
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.run.folder import Run

Start = Callable[..., Config]


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The folder of a run, as far as its config."""
    folder = tmp_path / "runs" / "first"
    folder.mkdir(parents=True)
    keys = {"backbone": "x:y", "head": {"use": "mlp", "hidden": [4]}, "task": "multilabel", "images.size": 96}
    Run(folder).write_config(load_config(None, ["images.range=[0,4095]", "data=photos"], keys))
    return folder


@pytest.fixture
def start(begun: Path) -> Start:
    def load(*sets: str, **keys: Any) -> Config:
        return load_config(None, sets, {"from_run": str(begun), "data": "more", **keys})

    return load


def test_a_run_starts_as_the_one_that_it_starts_from_was(start: Start, begun: Path) -> None:
    config = start()
    assert (config.backbone.use, config.task.use, str(config.head)) == ("x:y", "multilabel", "mlp (hidden: [4])")
    assert (config.images.size, config.images.range, config.data.use) == (96, (0.0, 4095.0), "more")
    assert config.from_run is not None
    assert (config.from_run.run, config.from_run.head) == (str(begun), "keep")
    assert start(backbone="x:y", task="multilabel") == config


def test_how_images_are_seen_and_trained_on_may_be_said_anew(start: Start) -> None:
    config = start(**{"images.size": 64, "training.epochs": 3, "images.fit": "pad"})
    assert (config.images.size, config.images.fit, config.training.epochs) == (64, "pad", 3)


@pytest.mark.parametrize(
    ("head", "what", "use"), [("keep", "keep", "mlp"), ("grow", "grow", "mlp"), ("linear", "new", "linear")]
)
def test_a_head_goes_on_or_grows_or_is_a_new_one(start: Start, head: str, what: str, use: str) -> None:
    config = start(head=head)
    assert config.from_run is not None
    assert (config.from_run.head, config.head.use) == (what, use)
    assert start(f"head={head}") == start(f"head.use={head}") == config
    assert bool(config.head.settings) == (head != "linear")


def test_a_new_head_of_the_same_kind_has_its_own_settings_and_may_be_for_another_task(start: Start) -> None:
    assert not start(head="mlp", task="classification").head.settings
    assert start("head.hidden=[2]", head="mlp").head.settings == {"hidden": [2]}


def test_what_a_config_that_was_written_says_stands_without_the_run(start: Start, begun: Path, tmp_path: Path) -> None:
    for number, config in enumerate((start(head="grow"), start(head="linear"))):
        file = tmp_path / f"{number}.yaml"
        Run(tmp_path).write_config(config)
        (tmp_path / "config.yaml").rename(file)
        moved = begun.rename(begun.with_name("firsts"))
        again = load_config(file, ["training.epochs=4"])
        assert (again.from_run, again.head, again.task) == (config.from_run, config.head, config.task)
        with pytest.raises(FtError, match=r"there is no folder .*first\. Did you mean .*firsts\?"):
            load_config(file, [], {"head": "grow"})
        moved.rename(begun)
        changed = load_config(file, [], {"head": "keep"})
        assert changed.from_run is not None
        assert (changed.from_run.head, changed.head) == ("keep", start().head)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"backbone": "x:z"}, r"starts from the weights of x:y, which fit no x:z; leave out --backbone, or train x:z"),
        ({"weights": "none"}, "leave out --weights, or --from"),
        ({"task": "classification"}, "leave out --task, or name a head, which is then a new one: --head mlp"),
        ({"split.folds": 3}, "leave out --folds, or --from"),
        ({"head.hidden": [3]}, "leave out its settings, or name a new head: --head mlp"),
        ({"head": {"use": "grow", "hidden": [3]}}, "leave out its settings"),
        ({"data": None}, "which images. Write --data PATH; those of .* were --data photos"),
    ],
)
def test_what_cannot_be_another_is_refused(start: Start, begun: Path, keys: dict[str, Any], message: str) -> None:
    given = {key: value for key, value in {"from_run": str(begun), "data": "more", **keys}.items() if value is not None}
    with pytest.raises(FtError, match=message):
        load_config(None, (), given)


def test_a_head_grows_that_a_run_has(tmp_path: Path) -> None:
    with pytest.raises(FtError, match="say which run, with --from RUN"):
        load_config(None, (), {"backbone": "x:y", "head": "grow"})
    with pytest.raises(FtError, match=r"is no run: it holds no config\.yaml"):
        load_config(None, (), {"from_run": str(tmp_path)})


def test_code_that_a_run_names_is_said_again_by_whoever_trusts_it(tmp_path: Path) -> None:
    Run(tmp_path).write_config(load_config(None, (), {"backbone": "./mine.py:Net:small"}))
    given = {"from_run": str(tmp_path), "data": "more"}
    with pytest.raises(FtError, match=r"if you trust it, say so: --backbone ./mine\.py:Net:small"):
        load_config(None, (), given)
    assert load_config(None, (), {**given, "backbone": "./mine.py:Net:small"}).from_run is not None


def test_python_calls_it_from_run_and_the_latest_is_the_one_that_was_saved_last(begun: Path, plugins: Plugins) -> None:
    (begun / "model.safetensors").touch()
    latest: Any = begun.with_name("latest")
    assert (
        config_of(None, {"from_run": latest, "data": "more"}, plugins).from_run
        == config_of({"from_run": str(begun)}, {"data": "more"}, plugins).from_run
    )
