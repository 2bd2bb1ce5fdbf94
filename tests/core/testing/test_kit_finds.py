"""The kit finds what it says it finds: each plugin here is wrong in one way."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from pydantic import ConfigDict
from torch import nn

from backbones import small
from ft import (
    Answer,
    Backbone,
    BackboneProvider,
    DataSource,
    Figure,
    FreezeStrategy,
    FtError,
    HeadBuilder,
    LabelSpace,
    ModelFacts,
    Pictures,
    Sample,
    Section,
    Settings,
    Shot,
    Stage,
    Table,
    Task,
    WeightEntry,
    WeightSource,
)
from ft.extension.installed import Component, Plugin, load_plugins
from ft.extension.kinds import KINDS
from ft.testing import WeightFile, backbone, common, data, freeze, head, task, tiny_backbones, weights
from ft.testing.checks import CHECKS
from ft.testing.served import serve_weights
from ft.testing.trial import Check, NotApplicable, NotSo, Trial

Ft = Callable[..., Result]


class Here(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture
def trial(tmp_path: Path) -> Callable[..., Trial]:
    def make(record: Any, *arguments: str | None, plugin: Plugin | None = None, **fields: Any) -> Trial:
        kind = next(kind for kind in KINDS.values() if isinstance(record, kind.record))
        component = Component(kind, record, "under-test", "1.0")
        return Trial(component, record.name, plugin, tmp_path, Here(), arguments or (None,), **fields)

    return make


def findings(trial: Trial, *checks: Check) -> dict[str, str]:
    found = {}
    for check in checks:
        try:
            check(trial)
        except NotSo as error:
            found[check.__name__] = str(error)
        except NotApplicable:
            pass
    return found


# Every kind


class Loose(Settings):
    model_config = ConfigDict(extra="allow")
    count: int = 1


class Forgetful(Settings):
    where: Any = None


def test_settings_that_accept_anything_and_describe_nothing(trial: Callable[..., Trial]) -> None:
    record = FreezeStrategy("loose", "Loose", select=lambda *_: {"a"}, settings=Loose)
    error = findings(trial(record), common.settings_are_closed_and_described)
    assert "accepts unknown settings; derive it from ft.Settings" in error["settings_are_closed_and_described"]


def test_settings_that_do_not_come_back_from_json(trial: Callable[..., Trial]) -> None:
    record = FreezeStrategy("forgetful", "Forgetful", select=lambda *_: {"a"}, settings=Forgetful)
    assert findings(trial(record, settings=({"where": (1, 2)},)), common.settings_survive_json)
    assert not findings(trial(record, settings=({"where": 3},)), common.settings_survive_json)


def test_a_function_without_a_docstring_and_an_example_of_another(trial: Callable[..., Trial]) -> None:
    record = FreezeStrategy("mute", "Mute", select=lambda *_: {"a"}, example="mtue:3")
    plugin = Plugin("mute", "mute", "under-test", "1.0", "ok")
    found = findings(trial(record, plugin=plugin), common.it_is_documented, common.the_record_is_valid)
    assert "select has no docstring" in found["it_is_documented"]
    assert "the example 'mtue:3' does not begin with its name" in found["the_record_is_valid"]


HEAVY = """
import torch
from ft import FreezeStrategy, hookimpl

@hookimpl
def ft_freeze_strategies():
    yield FreezeStrategy("heavy", "Heavy", select="heavy_plugin:select")
"""


@pytest.mark.slow
def test_a_plugin_that_imports_torch_when_it_is_listed(
    trial: Callable[..., Trial], ft_install: Callable[..., Path]
) -> None:
    ft_install("heavy-plugin", {"heavy_plugin.py": HEAVY})
    plugin = next(plugin for plugin in load_plugins().all if plugin.distribution == "heavy-plugin")
    (component,) = plugin.components
    found = findings(trial(component.record, plugin=plugin), common.importing_it_loads_no_torch)
    assert found["importing_it_loads_no_torch"] == ("importing heavy_plugin loads torch; import it in the functions")


# Strategies


def touching(backbone_: Backbone, argument: str | None, settings: Settings) -> set[str]:
    """Freezes by itself."""
    for parameter in backbone_.module.parameters():
        parameter.requires_grad = False
    return set(backbone_.parameter_names())


def drawing(backbone_: Backbone, argument: str | None, settings: Settings) -> set[str]:
    """Draws from torch's generator."""
    return set(random.Random(torch.rand(1).item()).sample(sorted(backbone_.parameter_names()), 3))


def fickle(backbone_: Backbone, argument: str | None, settings: Settings) -> set[str]:
    """Draws from a generator that nobody seeds."""
    return set(random.SystemRandom().sample(sorted(backbone_.parameter_names()), 3))


def inventing(backbone_: Backbone, argument: str | None, settings: Settings) -> set[str]:
    """Names what is not there."""
    return {"layer9.weight"}


def idle(backbone_: Backbone, argument: str | None, settings: Settings) -> set[str]:
    """Selects nothing."""
    return set()


def listing(backbone_: Backbone, argument: str | None, settings: Settings) -> list[str]:
    """Returns a list."""
    return list(backbone_.parameter_names())


def crashing(backbone_: Backbone, argument: str | None, settings: Settings) -> set[str]:
    """Takes numbers only, and says so with a traceback."""
    return set(backbone_.parameter_names()[: int(argument or 0)])


def reading_values(backbone_: Backbone, argument: str | None, settings: Settings) -> set[str]:
    """Decides by the values."""
    if next(backbone_.module.parameters()).is_meta:
        return {backbone_.parameter_names()[0]}
    return {backbone_.parameter_names()[1]}


@pytest.mark.parametrize(
    ("select", "check", "message"),
    [
        (touching, "selecting_changes_nothing", "changes the network it looks at"),
        (drawing, "selecting_changes_nothing", "draws from torch's generator"),
        (fickle, "selecting_is_deterministic", "and then"),
        (inventing, "it_selects_parameters", "selects ['layer9.weight'], which are no parameters of the network"),
        (idle, "it_selects_parameters", "selects nothing with '3'; raise FtError instead"),
        (listing, "it_selects_parameters", "it has to return a set of names"),
        (crashing, "a_mistake_is_told_to_the_user", "raises ValueError"),
        (reading_values, "a_plan_selects_what_a_run_selects", "but without values"),
    ],
)
def test_a_strategy_that_is_wrong(trial: Callable[..., Trial], select: Any, check: str, message: str) -> None:
    found = findings(trial(FreezeStrategy("wrong", "Wrong", select=select), "3"), getattr(freeze, check))
    assert message in found[check]


# Heads


class Bare(nn.Module):
    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.weight = torch.randn(classes, size)  # neither a parameter nor a buffer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T


class Relative(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x - x.mean(0))


class Fitted(nn.Linear):
    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(x)


class Partly(nn.Linear):
    def __init__(self, size: int, classes: int) -> None:
        super().__init__(size, classes)
        self.unused = nn.Linear(size, classes)


@pytest.mark.parametrize(
    ("build", "check", "message"),
    [
        (
            lambda d, c, s: nn.Linear(d, c + 1),
            "it_maps_features_to_classes",
            "turns [4, 8] into [4, 4]; it needs [4, 3]",
        ),
        (
            lambda d, c, s: Fitted(d, c),
            "it_maps_features_to_classes",
            "builds a head that takes 'labels', which ft does",
        ),
        (lambda d, c, s: "head", "it_maps_features_to_classes", "it has to return a torch.nn.Module"),
        (lambda d, c, s: Bare(d, c), "every_parameter_learns", "has no parameter to train"),
        (lambda d, c, s: Bare(d, c), "its_tensors_can_be_saved", "keeps values outside its state_dict"),
        (lambda d, c, s: Partly(d, c), "every_parameter_learns", "no gradient reaches unused.weight, unused.bias"),
        (lambda d, c, s: Relative(d, c), "an_image_is_judged_alone", "depends on the rest of the batch"),
    ],
)
def test_a_head_that_is_wrong(trial: Callable[..., Trial], build: Any, check: str, message: str) -> None:
    found = findings(trial(HeadBuilder("wrong", "Wrong", build=build)), getattr(head, check))
    assert message in found[check]


def test_a_head_whose_weights_do_not_follow_the_seed(trial: Callable[..., Trial]) -> None:
    def build(feature_dim: int, num_classes: int, settings: Settings) -> nn.Module:
        made = nn.Linear(feature_dim, num_classes)
        nn.init.constant_(made.bias, random.SystemRandom().random())
        return made

    assert findings(trial(HeadBuilder("wild", "Wild", build=build)), head.building_follows_the_seed)


# Backbones


def provider(change: Callable[[Backbone], dict[str, Any]], **fields: Any) -> BackboneProvider:
    from dataclasses import replace

    def build(model_name: str, settings: Settings) -> Backbone:
        made = small()
        return replace(made, **change(made))

    return BackboneProvider("wrong", "Wrong", models=lambda settings: ["one"], build=build, **fields)


@pytest.mark.parametrize(
    ("change", "check", "message"),
    [
        (lambda b: {"stages": b.stages[:2]}, "stages_cover_the_parameters_in_order", "no stage holds ['layer2.0"),
        (lambda b: {"stages": b.stages[::-1]}, "stages_cover_the_parameters_in_order", "images pass the stages"),
        (
            lambda b: {"stages": (*b.stages, Stage("again", ("layer1.0",)))},
            "stages_cover_the_parameters_in_order",
            "stages overlap",
        ),
        (
            lambda b: {"stages": (*b.stages, Stage("more", ("layer9",)))},
            "stages_cover_the_parameters_in_order",
            "stages name ['layer9'], which the module does not have",
        ),
        (lambda b: {"feature_dim": 9}, "the_head_is_where_it_says", "(2, 8) enters the head; head_form vector, 9"),
        (lambda b: {"head_form": "map"}, "the_head_is_where_it_says", "(2, 8) enters the head; head_form map, 8"),
        (
            lambda b: {"pooled_after": ("layer2",)},
            "the_head_is_where_it_says",
            "'layer2' of pooled_after is no module without parameters",
        ),
        (
            lambda b: {"pooled_after": ("pool",)},
            "the_head_is_where_it_says",
            "'pool' of pooled_after is no module without parameters",
        ),
    ],
)
def test_a_backbone_that_is_wrong(trial: Callable[..., Trial], change: Any, check: str, message: str) -> None:
    found = findings(trial(provider(change), "one"), getattr(backbone, check))
    assert message in found[check]


def test_the_same_backbone_left_as_it_is_passes(trial: Callable[..., Trial]) -> None:
    assert findings(trial(provider(lambda b: {}), "one"), *backbone.CHECKS) == {}


def test_weight_entries_that_cannot_be_told_apart(trial: Callable[..., Trial]) -> None:
    entries = [WeightEntry("V1", "a.pth"), WeightEntry("V1", "b.pth")]
    found = findings(trial(provider(lambda b: {}, weights=lambda model: entries), "one"), *backbone.CHECKS)
    assert found == {"weights_can_be_told_apart": "one has two weight entries of one name: ['V1', 'V1']"}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (ModelFacts(parameters=12), "one: facts tell 12 parameters, it has"),
        (ModelFacts(accuracy=0.76), "one: accuracy 0.76, not percent"),
        (ModelFacts(flops=0), "one: 0 multiply-adds"),
        (ModelFacts(recommended="good\nand cheap"), "recommends in more than a line"),
        ({"parameters": 1}, "facts returned {'parameters': 1}, not ModelFacts"),
    ],
    ids=str,
)
def test_facts_that_are_not_the_networks(trial: Callable[..., Trial], facts: Any, message: str) -> None:
    found = findings(
        trial(provider(lambda b: {}, facts=lambda model: facts), "one"), backbone.facts_are_those_of_the_network
    )
    assert message in found["facts_are_those_of_the_network"]


# Weight sources


@pytest.fixture
def weight_file(tmp_path: Path) -> Iterator[WeightFile]:
    (tmp_path / "weight-file").mkdir()
    with serve_weights(tmp_path / "weight-file") as served:
        yield served


def test_a_source_that_verifies_nothing(trial: Callable[..., Trial], weight_file: WeightFile) -> None:
    record = WeightSource("blind", "Blind", fetch=lambda entry, argument, settings, cache: Path(argument))
    found = findings(trial(record, str(weight_file.path), weight_file=weight_file), weights.another_file_is_refused)
    assert "unverified; use cache.verify or cache.download" in found["another_file_is_refused"]


def test_a_source_that_fetches_each_time_and_leaves_a_mess(
    trial: Callable[..., Trial], weight_file: WeightFile
) -> None:
    def fetch(entry: WeightEntry, argument: str | None, settings: Settings, cache: Any) -> Path:
        from urllib.request import urlopen

        path = cache.path(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        with urlopen(f"{argument}/{weight_file.entry.file_name}") as answer:
            path.write_bytes(answer.read())
        return cache.verify(entry, path)

    checks = (weights.fetching_again_changes_nothing, weights.another_file_is_refused)
    record = WeightSource("eager", "Eager", fetch=fetch)
    found = findings(trial(record, weight_file.base_url, weight_file=weight_file), *checks)
    assert "fetches again what it has" in found["fetching_again_changes_nothing"]
    assert "leaves ['tiny-weights.safetensors'] behind" in found["another_file_is_refused"]


def test_a_network_that_needs_values_is_skipped_where_it_should_do_without(trial: Callable[..., Trial]) -> None:
    def build(model_name: str, settings: Settings) -> Backbone:
        torch.ones(1).item()
        return small()

    record = BackboneProvider("needy", "Needy", models=lambda settings: ["one"], build=build)
    with pytest.raises(NotApplicable, match=r"one needs values, so ft plan takes memory for it: .*meta"):
        backbone.it_builds_without_values(trial(record, "one"))


# Data sources


@pytest.mark.parametrize(
    ("load", "check", "message"),
    [
        (lambda a, s: [], "samples_are_labelled_images", "has no images; raise FtError instead"),
        (lambda a, s: [Sample(Path("no.png"), "a")], "samples_are_labelled_images", "there is no file no.png"),
        (lambda a, s: [Sample(Path(a), "a")] * 2, "samples_are_labelled_images", "yields an image twice"),
        (lambda a, s: [Sample(Path(a), "a")], "samples_are_labelled_images", "has the one class {'a'}"),
        (lambda a, s: [Sample(Path(a), "a")], "images_open", "cannot be read"),
        (lambda a, s: Path(a)["x"], "a_mistake_is_told_to_the_user", "raises TypeError"),
        (
            lambda a, s: random.SystemRandom().sample([Sample(Path(str(i)), "a") for i in range(50)], 50),
            "the_order_is_always_the_same",
            "yields another order each time; sort it",
        ),
    ],
)
def test_a_data_source_that_is_wrong(
    trial: Callable[..., Trial], tmp_path: Path, load: Any, check: str, message: str
) -> None:
    (tmp_path / "text.png").write_text("no image")
    found = findings(trial(DataSource("wrong", "Wrong", load=load), str(tmp_path / "text.png")), getattr(data, check))
    assert message in found[check]


def test_data_that_a_test_gives_and_the_source_refuses_is_a_finding_and_a_guess_is_none(
    trial: Callable[..., Trial],
) -> None:
    def load(argument: str | None, settings: Settings) -> Iterator[Sample]:
        raise FtError(f"there is no {argument}")

    record = DataSource("empty", "Empty", load=load)
    assert findings(trial(record, "photos"), data.images_open) == {
        "images_open": "data source 'empty' refuses 'photos': there is no photos"
    }
    assert findings(trial(record, "photos", guessed=True), data.images_open) == {}


# Tasks


@dataclass(frozen=True)
class Said(Answer):
    about: dict[str, float]


class Off:
    """Adds up how far off numbers are."""

    def __init__(self, space: LabelSpace, settings: Settings) -> None:
        self.off, self.images = 0.0, 0

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        self.off, self.images = self.off + float((outputs - targets).abs().sum()), self.images + len(targets)

    def merge(self, other: Off) -> None:
        self.off, self.images = self.off + other.off, self.images + other.images

    def figures(self) -> dict[str, float]:
        return {"loss": self.off / self.images, "mae": self.off / self.images}

    def tables(self) -> tuple[Table, ...]:
        return ()


class OffInBatches(Off):
    """The mean of the batches' means, whatever their sizes."""

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        self.off, self.images = self.off + float((outputs - targets).abs().mean() ** 2), self.images + 1


class OffAlone(Off):
    """Forgets what another one has."""

    def merge(self, other: Off) -> None:
        pass


class OffUnnamed(Off):
    """Lacks the figure that the record names."""

    def figures(self) -> dict[str, float]:
        return {"loss": self.off / self.images}


class OffInRows(Off):
    """Has rows of other columns than its table's."""

    def tables(self) -> tuple[Table, ...]:
        return (Table("numbers", {"name": ("name", "")}, ({"names": "a"},)),)


def numbers(**changes: Any) -> Task:
    """A task of numbers that is right but for `changes`."""
    right: dict[str, Any] = {
        "space": lambda labels, settings: LabelSpace(("number",)),
        "encode": _numbers,
        "loss": lambda space, settings, targets: lambda outputs, targets: (outputs - targets).abs().mean(),
        "meter": Off,
        "predict": lambda outputs, space, settings: [Said({"number": each}) for each in outputs[:, 0].tolist()],
        "figures": (Figure("mae", "mean error", larger_is_better=False),),
        "tally": lambda outputs, targets, space, settings: (outputs - targets).abs()[:, 0],
        "tally_name": "off",
        "calibrate": lambda outputs, targets, space, settings: space,
        "sections": lambda outputs, targets, space, settings: [_farthest(outputs, targets)],
        "guess": lambda targets, space, settings: targets.mean(0),
        "labels": ("1", "2", "3", "4", "5"),
    }
    return Task("numbers", "Numbers", **{**right, **changes})


def _farthest(outputs: torch.Tensor, targets: torch.Tensor) -> Section:
    place = int((outputs - targets).abs().sum(1).argmax())
    return Section("Farthest", (Pictures("", (Shot(place, f"{float(outputs[place, 0]):g}", of=0),)),))


def _numbers(labels: Sequence[Any], space: LabelSpace, settings: Settings) -> list[tuple[float]]:
    try:
        return [(float(label),) for label in labels]
    except (TypeError, ValueError) as error:
        raise FtError(f"'{labels[0]}' is no number") from error


def _unseeded(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs * (1 + 0.01 * random.SystemRandom().random()) - targets).abs().mean()


def test_a_task_that_is_right_passes(trial: Callable[..., Trial]) -> None:
    assert findings(trial(numbers()), *task.CHECKS) == {}


@pytest.mark.parametrize(
    ("changes", "check", "message"),
    [
        ({"labels": ("1",)}, "labels_become_targets", "has no labels of four images to try it with"),
        (
            {"space": lambda labels, settings: LabelSpace(("n",), numbers={"mean": (torch.ones(1),)})},
            "labels_become_targets",
            "JSON does not keep",
        ),
        (
            {"encode": lambda labels, space, settings: [(float(label),) for label in labels]},
            "a_label_of_another_kind_is_refused",
            "raises ValueError (could not convert string to float: '') for the label ''; raise ft.FtError",
        ),
        (
            {"loss": lambda space, settings, targets: lambda outputs, targets: (outputs - targets).abs().sum()},
            "the_loss_is_a_mean",
            "return the mean, and give the loss a weight(targets) where images do not count alike",
        ),
        (
            {"loss": lambda space, settings, targets: lambda outputs, targets: (outputs - targets).abs()},
            "the_loss_is_a_mean",
            "it is a mean",
        ),
        (
            {"loss": lambda space, settings, targets: lambda outputs, targets: -(outputs - targets).abs().mean()},
            "the_loss_follows_from_outputs",
            "with a lower loss, mae went from",
        ),
        (
            {"loss": lambda space, settings, targets: _unseeded},
            "the_loss_follows_from_outputs",
            "has another loss each time; draw with torch's generator",
        ),
        (
            {"predict": lambda outputs, space, settings: [Said({"number": each}) for each in outputs]},
            "answers_are_one_an_image",
            "has answers that JSON does not keep",
        ),
        ({"meter": OffInBatches}, "meters_add_up", "merged meters say another loss, mae"),
        ({"meter": OffAlone}, "meters_add_up", "merged meters say another loss, mae"),
        ({"meter": OffUnnamed}, "meters_add_up", "has no figure mae, or none that is a number"),
        ({"meter": OffInRows}, "meters_add_up", "table 'numbers' has a row of other columns"),
        (
            {"predict": lambda outputs, space, settings: [Said({"number": 1.0})]},
            "answers_are_one_an_image",
            "gives 1 answers to 5",
        ),
        (
            {"predict": lambda outputs, space, settings: outputs.tolist()},
            "answers_are_one_an_image",
            "no ft.Answer",
        ),
        (
            {"predict": lambda outputs, space, settings: [Said({str(n): 1.0}) for n in range(len(outputs))]},
            "answers_are_one_an_image",
            "has other columns for each answer",
        ),
        (
            {"tally": lambda outputs, targets, space, settings: outputs.mean()},
            "what_is_counted_is_a_number_an_image",
            "counts [], not a value an image",
        ),
        (
            {"tally": lambda outputs, targets, space, settings: outputs},
            "what_is_counted_is_a_number_an_image",
            "counts [5, 1], not a value an image",
        ),
        ({"tally_name": ""}, "what_is_counted_is_a_number_an_image", "has a tally without a tally_name"),
        (
            {"calibrate": lambda outputs, targets, space, settings: LabelSpace(("n", "m"))},
            "what_is_calibrated_is_kept",
            "calibrates to another space",
        ),
        (
            {"sections": lambda outputs, targets, space, settings: ["Farthest"]},
            "what_a_page_shows_is_of_the_split",
            "shows ['Farthest'], no ft.Section",
        ),
        (
            {"sections": lambda *given: [Section("First", (Pictures("", (Shot(len(given[0]), ""),)),))]},
            "what_a_page_shows_is_of_the_split",
            "of 5 images, has in 'First' image 5, and the rows of the split are 0 to 4",
        ),
        (
            {"sections": lambda *given: [Section("Fifth", (Pictures("", (Shot(4, ""),)),))]},
            "what_a_page_shows_is_of_the_split",
            "of 1 images, has in 'Fifth' image 4",
        ),
        (
            {"guess": lambda targets, space, settings: targets[0, 0]},
            "what_is_guessed_is_an_answer",
            "not 1 finite outputs",
        ),
        (
            {"uncertainty": lambda outputs, space, settings: outputs},
            "what_is_uncertain_is_a_number_an_image",
            "not a finite number an image",
        ),
        (
            {"average": lambda outputs, space, settings: outputs.sum(0)},
            "views_average_to_an_answer",
            "the average of views that are alike has another loss",
        ),
        (
            {"average": lambda outputs, space, settings: outputs[0]},
            "views_average_to_an_answer",
            "averages views otherwise in another order",
        ),
    ],
)
def test_a_task_that_is_wrong(trial: Callable[..., Trial], changes: dict[str, Any], check: str, message: str) -> None:
    found = findings(trial(numbers(**changes)), getattr(task, check))
    assert message in found[check]


# The fixtures and the command


def test_the_registry_holds_what_comes_with_ft_and_what_it_is_given(ft_registry: Callable[..., Any]) -> None:
    mine = FreezeStrategy("mine", "Mine", select=idle)
    names = {component.name for component in ft_registry(mine).components("freeze")}
    assert {"mine", "regex"} <= names
    assert "biggest" not in names
    assert [component.name for component in ft_registry(mine, built_in=False).components()] == ["mine"]


PLUGIN = """
from ft import FreezeStrategy, hookimpl

def select(backbone, argument, settings):
    '''Everything but the first.'''
    return set(backbone.parameter_names()[1:])

@hookimpl
def ft_freeze_strategies():
    yield FreezeStrategy("installed", "But the first", select="installed_plugin:select")
"""


def test_a_plugin_is_installed_without_pip_and_gone_afterwards(
    ft_install: Callable[..., Path], ft_cli: Ft, request: pytest.FixtureRequest
) -> None:
    ft_install("installed-plugin", {"installed_plugin.py": PLUGIN}, version="2.1")
    assert "installed-plugin 2.1" in " ".join(ft_cli("describe", "freeze:installed").output.split())
    assert "installed_plugin" in sys.modules


@pytest.mark.slow
def test_the_check_command_reports_a_row_for_each_component(ft_install: Callable[..., Path], ft: Ft) -> None:
    ft_install("installed-plugin", {"installed_plugin.py": PLUGIN})
    result = ft("plugins", "check", "Installed_Plugin")
    assert result.exit_code == 0, result.output
    row = next(line.split() for line in result.output.splitlines() if "freeze:installed" in line)
    assert row == ["freeze:installed", "12", "-", "-"]


@pytest.mark.slow
def test_the_check_command_fails_and_says_what_is_not_so(ft_install: Callable[..., Path], ft: Ft) -> None:
    ft_install("installed-plugin", {"installed_plugin.py": PLUGIN.replace("'''Everything but the first.'''", "")})
    ft_install("broken-plugin", {"broken_plugin.py": "import nothing_like_it"})
    result = ft("plugins", "check", "installed-plugin", fails=True)
    assert result.exit_code == 1
    assert "freeze:installed: not so: it is documented: freezing strategy 'installed': select has no" in result.output
    result = ft("plugins", "check", "broken-plugin", fails=True)
    assert "it can be loaded: ModuleNotFoundError: No module named 'nothing_like_it'" in result.output
    with pytest.raises(FtError, match=r"no plugin of a distribution 'instaled'.*Did you mean 'installed-plugin'"):
        ft("plugins", "check", "instaled")


PROVIDER = """
from ft import BackboneProvider, hookimpl

def build(model_name, settings):
    raise NotImplementedError

@hookimpl
def ft_backbone_providers():
    models = lambda settings: ["a10", "a18", "b1", "b2", "b3"]
    yield BackboneProvider("several", "Several", models=models, build=build)
"""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "tried 1 of 5 models (a10); --models 5 or --models 'PATTERN' tries more"),
        (("--models", "3"), "tried 3 of 5 models (a10, b1, b3); --models"),
        (("--models", "a*"), "tried 2 of 5 models (a10, a18); --models"),
        (("--models", "9"), "tried 5 of 5 models (a10, a18, b1, ...)\n"),
    ],
)
def test_the_check_command_says_which_models_it_tried(
    ft_install: Callable[..., Path], ft: Ft, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], said: str
) -> None:
    tried: list[tuple[str | None, ...]] = []
    monkeypatch.setitem(CHECKS, "backbone", (lambda trial: tried.append(trial.arguments), backbone.models_have_names))
    ft_install("several", {"several_provider.py": PROVIDER})
    output = ft("plugins", "check", "several", *args).output
    assert f"backbone:several: {said}" in output
    assert f"tried {len(tried[0])} of" in output


def test_the_check_command_refuses_models_that_are_not_there(ft_install: Callable[..., Path], ft: Ft) -> None:
    ft_install("several", {"several_provider.py": PROVIDER})
    with pytest.raises(FtError, match=r"--models a1 chooses no model\. Did you mean 'a1[08]'\? See ft models"):
        ft("plugins", "check", "several", "--models", "a1")
    ft_install("installed-plugin", {"installed_plugin.py": PLUGIN})
    with pytest.raises(FtError, match="Nothing that is checked lists models"):
        ft("plugins", "check", "installed-plugin", "--models", "2")


def test_the_tiny_backbones_are_the_same_each_time() -> None:
    one, other = tiny_backbones(), tiny_backbones()
    for name in ("residual", "plain"):
        for a, b in zip(one[name].module.parameters(), other[name].module.parameters(), strict=True):
            assert torch.equal(a, b)
