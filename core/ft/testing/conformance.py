"""The classes that a plugin's tests derive from: pytest runs every check of the kind, each as a test of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ft.extension.installed import Plugins, load_plugins
from ft.extension.references import parse_reference
from ft.testing.checks import CHECKS, usual_arguments
from ft.testing.served import WeightFile, serve_weights
from ft.testing.trial import Check, NotApplicable, NotSo, Trial


class _Conformance:
    """`component` is KIND:REFERENCE, as `ft describe` takes it; `settings` are mappings to try, each in turn."""

    kind: ClassVar[str]
    component: ClassVar[str] = ""
    settings: ClassVar[Sequence[Mapping[str, Any]]] = ({},)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Each check of the kind is a test of its own."""
        if "check" in metafunc.fixturenames:
            metafunc.parametrize("check", CHECKS[self.kind], ids=lambda check: check.__name__)

    def test_conforms(self, check: Check, trial: Trial) -> None:
        __tracebackhide__ = True  # what matters is the message, not where in the kit it was found
        try:
            check(trial)
        except NotSo as found:
            if found.__cause__ is not None:
                raise
            pytest.fail(str(found), pytrace=False)
        except NotApplicable as reason:
            pytest.skip(str(reason))

    @pytest.fixture
    def weight_file(self) -> Any:
        return None

    @pytest.fixture
    def trial(
        self,
        arguments: Sequence[str | None] | None,
        weight_file: WeightFile | None,
        ft_worker: Executor,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Trial:
        """What the checks get: the component as it is installed, and what to try it with."""
        kind, _, text = self.component.partition(":")
        assert kind == self.kind, f"set component = '{self.kind}:NAME' in {type(self).__name__}, not '{self.component}'"
        scratch = tmp_path / "ft-check"
        scratch.mkdir()
        monkeypatch.setenv("FT_CACHE", str(scratch / "cache"))
        reference = parse_reference(text)
        installed: Plugins = load_plugins()
        found = installed.get(kind, reference)
        return Trial(
            component=found,
            reference=text,
            plugin=next((plugin for plugin in installed.all if found in plugin.components), None),
            folder=scratch,
            worker=ft_worker,
            arguments=tuple(usual_arguments(found) if arguments is None else arguments),
            settings=tuple(self.settings),
            weight_file=weight_file,
        )


class BackboneConformance(_Conformance):
    """`models` are names of models to try; by default the provider's first. Small ones keep the tests quick."""

    kind = "backbone"
    models: ClassVar[Sequence[str] | None] = None

    @pytest.fixture
    def arguments(self) -> Sequence[str] | None:
        return self.models


class FreezeConformance(_Conformance):
    """`arguments` are what may stand after the name, as "3" in depth:3; by default the example's."""

    kind = "freeze"
    arguments: ClassVar[Sequence[str | None] | None] = None

    @pytest.fixture(name="arguments")
    def _arguments(self) -> Sequence[str | None] | None:
        return self.arguments


class _ByName(_Conformance):
    """Of kinds whose references are names alone."""

    @pytest.fixture
    def arguments(self) -> Sequence[None]:
        return (None,)


class HeadConformance(_ByName):
    """`settings` are mappings to build heads from; by default the defaults."""

    kind = "head"


class OptimizerConformance(_ByName):
    """`settings` are mappings to build optimizers from; by default the defaults."""

    kind = "optimizer"


class TaskConformance(_ByName):
    """`settings` are mappings to try the task with; by default the defaults. The labels are the record's example."""

    kind = "task"


class TrackerConformance(_ByName):
    """`settings` are mappings to track runs with; by default the defaults."""

    kind = "tracker"


class ExporterConformance(_ByName):
    """`settings` are mappings to export with; by default the defaults."""

    kind = "exporter"


class AugmentationConformance(_ByName):
    """`settings` are mappings to build transforms from; by default the defaults."""

    kind = "augmentation"


class RecipeConformance(_ByName):
    """There is nothing to set: a recipe is a file."""

    kind = "recipe"


class WeightSourceConformance(_Conformance):
    """Override the fixture `argument`: put `weight_file` where the source looks, and return what names that place.

    `weight_file.path` is a file alone in a folder, `weight_file.base_url` a server that has it under its name, and
    `weight_file.entry.url` its whole URL. Where nothing on this machine can stand for the place, override the fixture
    `weight_file` to return None: what needs the file is skipped then.
    """

    kind = "weights"

    @pytest.fixture
    def weight_file(self, tmp_path: Path) -> Iterator[WeightFile]:
        """A small weight file with its entry, on disk and served on this machine."""
        folder = tmp_path / "ft-weight-file"
        folder.mkdir()
        with contextlib.ExitStack() as stack:
            yield stack.enter_context(serve_weights(folder))

    @pytest.fixture
    def argument(self, weight_file: WeightFile) -> str | None:
        return None

    @pytest.fixture
    def arguments(self, argument: str | None) -> Sequence[str | None]:
        return (argument,)


class DataConformance(_Conformance):
    """Override the fixture `argument`: make a few images of two classes and return what names them."""

    kind = "data"

    @pytest.fixture
    def argument(self) -> str | None:
        return None

    @pytest.fixture
    def arguments(self, argument: str | None) -> Sequence[str | None]:
        return (argument,)
