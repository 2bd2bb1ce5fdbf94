from __future__ import annotations

from collections.abc import Sequence
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import nn

from backbones import SMALL_NAMES, mixed_classifier, small, whitened, with_aux
from ft import Backbone, FreezeStrategy, FtError, Stage
from ft.config.schema import ComponentConfig
from ft.extension.installed import Component, Plugin, Plugins, load_plugins
from ft.extension.kinds import KINDS
from ft.model.freezing import (
    FrozenChoice,
    apply_frozen,
    choose_frozen,
    frozen_digest,
    frozen_modules,
    select_parameters,
    set_train_mode,
    trainable_names,
)
from ft.model.head import build_model

PLUGINS = load_plugins()


def rules(*texts: str) -> list[ComponentConfig]:
    return [ComponentConfig(use=text) for text in texts]


def choose(
    freeze: Sequence[str],
    train: Sequence[str] = (),
    backbone: Backbone | None = None,
    plugins: Plugins = PLUGINS,
) -> FrozenChoice:
    return choose_frozen(rules(*freeze), rules(*train), backbone or small(), plugins)


def freeze_small(*texts: str, backbone: Backbone | None = None) -> tuple[nn.Module, frozenset[str], tuple[str, ...]]:
    backbone = backbone or small()
    names = choose(list(texts), backbone=backbone).names
    modules = frozen_modules(backbone.module, names, backbone.head_paths)
    apply_frozen(backbone.module, names, modules)
    return backbone.module, names, modules


def with_strategy(**fields: object) -> Plugins:
    record = FreezeStrategy("mine", "A test's own", **fields)  # type: ignore[arg-type]
    component = Component(KINDS["freeze"], record, "some-dist", "1.2")
    return Plugins((*PLUGINS.all, Plugin("mine", "mine", "some-dist", "1.2", "ok", "", (component,))))


def train_steps(module: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 4) -> None:
    torch.manual_seed(0)
    for _ in range(steps):
        logits = module(torch.rand(4, 3, 6, 6))
        nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


# What is chosen


def test_without_rules_nothing_is_frozen() -> None:
    assert choose([]) == FrozenChoice(frozenset(), {}, ())


def test_all_freezes_every_parameter_outside_the_head() -> None:
    assert choose(["all"]).names == set(SMALL_NAMES)


def test_every_freeze_adds() -> None:
    assert choose(["regex:stem", "regex:layer2"]).names == {
        "stem.0.weight",
        "stem.1.weight",
        "stem.1.bias",
        "layer2.0.weight",
        "layer2.0.bias",
    }


def test_every_train_takes_away_after_all_freezes() -> None:
    assert choose(["all"], ["regex:layer2.*", "regex:.*bias"]).names == {
        "scale",
        "stem.0.weight",
        "stem.1.weight",
        "layer1.0.weight",
        "layer1.1.weight",
    }


def test_rules_tell_who_decided_a_parameter_last_also_when_it_was_taken_back() -> None:
    choice = choose(["depth:2", "type:norm"], ["regex:layer1.*"])
    assert choice.rules == {
        "scale": "depth:2",
        "stem.0.weight": "depth:2",
        "stem.1.weight": "type:norm",
        "stem.1.bias": "type:norm",
        "layer1.0.weight": "regex:layer1.*",
        "layer1.0.bias": "regex:layer1.*",
        "layer1.1.weight": "regex:layer1.*",
        "layer1.1.bias": "regex:layer1.*",
    }
    assert choice.names == {"scale", "stem.0.weight", "stem.1.weight", "stem.1.bias"}


def test_a_train_rule_is_not_named_for_parameters_that_were_never_frozen() -> None:
    assert "layer2.0.weight" not in choose(["depth:2"], ["regex:.*weight"]).rules


def test_the_choice_is_plain_data() -> None:
    with pytest.raises(FrozenInstanceError):
        choose([]).names = frozenset()  # type: ignore[misc]


def test_the_head_is_dropped_from_what_a_strategy_selects() -> None:
    assert choose(["regex:.*"]).names == set(SMALL_NAMES)


@pytest.mark.parametrize("option", ["freeze", "train"])
def test_selecting_only_the_head_is_an_error_that_says_so(option: str) -> None:
    given = {"freeze": ["all"], "train": [], option: ["regex:fc.*"]}
    with pytest.raises(FtError) as error:
        choose(**given)
    assert str(error.value) == f"--{option} regex:fc.* selects only the head, which always trains: fc.bias, fc.weight"


def test_the_head_trains_whether_the_freeze_or_the_head_is_said_first() -> None:
    before = small()
    chosen_before = choose(["all"], backbone=before).names
    build_model(before, ComponentConfig(use="mlp"), 2, PLUGINS, seed=0)
    after = small()
    build_model(after, ComponentConfig(use="mlp"), 2, PLUGINS, seed=0)
    assert choose(["all"], backbone=after).names == chosen_before
    for backbone in (before, after):
        modules = frozen_modules(backbone.module, chosen_before, backbone.head_paths)
        apply_frozen(backbone.module, chosen_before, modules)
        head = list(backbone.module.get_submodule("fc").named_parameters())
        assert head
        assert all(parameter.requires_grad for _, parameter in head)


def test_an_auxiliary_head_trains_as_well() -> None:
    assert not [name for name in choose(["all"], backbone=with_aux()).names if name.startswith(("fc.", "aux.2."))]


def test_none_beside_other_rules_is_told_to_do_nothing() -> None:
    assert choose(["none"]).warnings == ()
    assert choose(["none", "all"]).warnings == (
        "--freeze none adds nothing to what the other rules freeze; leave it out",
    )


def test_of_a_rule_for_what_a_network_may_lack_nothing_is_said() -> None:
    assert choose(["all", "batchnorm"]).warnings == ()
    lacking = Backbone(
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), ("1",), (Stage("first", ("0",)),), feature_dim=4, name="plain"
    )
    chosen = choose(["depth:1", "batchnorm"], backbone=lacking)
    assert (chosen.names, chosen.warnings) == ({"0.weight", "0.bias"}, ())
    alone = choose(["batchnorm"], backbone=lacking)
    assert alone.warnings == ("--freeze batchnorm freezes nothing: this network lacks what it freezes",)


def test_a_freeze_that_adds_nothing_new_is_a_warning() -> None:
    assert choose(["all", "depth:1"]).warnings == (
        "--freeze depth:1 adds nothing to what the other rules freeze; leave it out",
    )
    assert choose(["depth:1", "all"]).warnings == ()


def test_a_train_that_takes_nothing_back_is_an_error() -> None:
    with pytest.raises(
        FtError, match=r"--train regex:layer2\.\* takes nothing back: nothing that it selects was frozen"
    ):
        choose(["depth:1"], ["regex:layer2.*"])


def test_freezing_only_batchnorm_is_warned_about() -> None:
    assert "their running statistics stop moving" in choose(["type:norm"]).warnings[0]
    assert choose(["batchnorm"]).warnings == ()  # who says that means it
    assert choose(["type:norm", "depth:1"]).warnings == ()


def test_freezing_only_layernorm_is_no_reason_to_warn() -> None:
    module = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.Linear(4, 2))
    backbone = Backbone(module, ("2",), (Stage("all", ("0", "1")),), feature_dim=4)
    assert choose(["type:norm"], backbone=backbone).warnings == ()


# What strategies may get wrong


def test_a_strategy_that_selects_nothing_is_an_error_with_a_name_that_exists() -> None:
    plugins = with_strategy(select=lambda backbone, argument, settings: set())
    with pytest.raises(FtError) as error:
        choose(["mine:layr2"], plugins=plugins)
    assert str(error.value) == ("--freeze mine:layr2 selects no parameter of small; names look like 'layer2.0.weight'")


def test_a_strategy_may_allow_selecting_nothing() -> None:
    plugins = with_strategy(select=lambda backbone, argument, settings: set(), allows_empty=True)
    assert choose(["mine"], plugins=plugins).names == frozenset()


def test_names_that_do_not_exist_are_told_with_the_distribution() -> None:
    plugins = with_strategy(select=lambda backbone, argument, settings: {"scale", *(f"no{i}" for i in range(5))})
    with pytest.raises(FtError) as error:
        choose(["mine"], plugins=plugins)
    assert str(error.value) == (
        "freezing strategy 'mine' of some-dist 1.2 returned 5 names that are no parameters of small: no0, no1, no2, ..."
    )


@pytest.mark.parametrize("wrong", [None, "scale", 3])
def test_what_is_no_set_of_names_is_told_with_the_distribution(wrong: object) -> None:
    plugins = with_strategy(select=lambda backbone, argument, settings: wrong)
    with pytest.raises(FtError, match=f"'mine' of some-dist 1.2 returned {wrong!r}; it has to return a set"):
        choose(["mine"], plugins=plugins)


def test_unknown_settings_of_a_strategy_are_errors() -> None:
    with pytest.raises(FtError, match=r"unknown setting 'freeze.flags'"):
        choose_frozen([ComponentConfig(use="regex:stem", flags="i")], [], small(), PLUGINS)  # type: ignore[call-arg]


def test_an_unknown_strategy_is_named_with_the_nearest() -> None:
    with pytest.raises(FtError, match=r"no freezing strategy named 'regx'\. Did you mean 'regex'"):
        choose(["regx:stem"])


def test_a_layer_without_a_strategy_is_answered_with_those_that_take_layers() -> None:
    with pytest.raises(FtError) as error:
        choose(["all"], ["layer2"])
    _, hint = str(error.value).splitlines()
    assert hint == "If NAME is a layer: 'regex:NAME', or until:NAME for it and all from the input up to it".replace(
        "NAME", "layer2"
    )
    assert choose(["all"], ["regex:layer2"]).names < choose(["all"]).names


def test_select_parameters_says_who_asks() -> None:
    with pytest.raises(FtError, match=r"^groups regex:fc\.\* selects only the head"):
        select_parameters(ComponentConfig(use="regex:fc.*"), "groups", small(), PLUGINS)


# Tensors with several names


def tied() -> Backbone:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    module[2].weight = module[0].weight
    return Backbone(module, ("3",), (Stage("a", ("0",)), Stage("b", ("2",))), feature_dim=4, name="tied")


def test_a_tied_tensor_frozen_under_one_name_only_is_an_error_naming_both() -> None:
    with pytest.raises(
        FtError, match=r"'0\.weight' would be frozen and '2\.weight' trained, but they share one tensor"
    ):
        choose(["depth:1"], backbone=tied())


def test_a_tied_tensor_frozen_under_both_names_is_one_frozen_parameter() -> None:
    backbone = tied()
    names = choose(["all"], backbone=backbone).names
    assert names == {"0.weight", "0.bias", "2.bias"}
    assert frozen_modules(backbone.module, names, backbone.head_paths) == ("0", "2")


def test_a_tied_tensor_may_be_taken_back_by_its_names() -> None:
    assert choose(["all"], ["regex:.*weight"], backbone=tied()).names == {"0.bias", "2.bias"}


def test_parameters_that_overlap_in_memory_are_found_when_applied() -> None:
    module = nn.Module()
    whole = torch.rand(6)
    module.first, module.last, module.overlap = (nn.Parameter(whole[s]) for s in (slice(3), slice(3, 6), slice(2, 4)))
    apply_frozen(module, {"first", "overlap", "last"}, ())
    with pytest.raises(FtError, match="'first' would be frozen and 'overlap' trained"):
        apply_frozen(module, {"first"}, ())
    del module.overlap
    apply_frozen(module, {"first"}, ())  # neighbours in one storage share nothing


# Which modules are frozen


def test_topmost_frozen_modules() -> None:
    backbone = small()
    assert frozen_modules(backbone.module, set(SMALL_NAMES), ("fc",)) == ("stem", "layer1", "layer2")
    stem = {name for name in SMALL_NAMES if name.startswith("stem")}
    assert frozen_modules(backbone.module, {*stem, "layer1.1.weight", "layer1.1.bias"}, ("fc",)) == ("stem", "layer1.1")
    assert frozen_modules(backbone.module, {"layer1.1.weight"}, ("fc",)) == ()


def test_a_module_that_holds_a_head_is_never_frozen_even_if_the_head_has_no_parameters() -> None:
    backbone = mixed_classifier()
    backbone.module.set_submodule("classifier.3", nn.Dropout(0.5))
    names = set(backbone.parameter_names())
    assert frozen_modules(backbone.module, names, backbone.head_paths) == ("features", "classifier.0")


def test_dropout_of_a_partly_frozen_classifier_stays_active() -> None:
    module, _, modules = freeze_small("all", backbone=mixed_classifier())
    assert modules == ("features", "classifier.0")
    assert module.get_submodule("classifier.2").training
    assert not module.get_submodule("features.2").training


def test_modules_without_parameters_follow_the_frozen_module_around_them() -> None:
    module, _, _ = freeze_small("regex:layer1", "regex:layer2")
    assert not module.get_submodule("layer1.3").training  # Dropout
    assert not module.get_submodule("layer2.1").training  # BatchNorm without parameters
    assert module.get_submodule("stem.1").training


def moving_statistics(module: nn.Module) -> set[str]:
    """Layers whose buffers a training step changes."""
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    module(torch.rand(4, 3, 6, 6))
    return {n.rpartition(".")[0] for n, buffer in module.named_buffers() if not torch.equal(buffer, before[n])}


def test_nothing_outside_the_head_moves_when_all_of_it_is_frozen() -> None:
    module, names, modules = freeze_small("all", backbone=whitened())
    assert modules == ("stem", "layer1", "layer2", "whiten", "extra", "last")
    before = frozen_digest(module, names, modules)
    assert moving_statistics(module) == set()
    assert frozen_digest(module, names, modules) == before
    module.get_submodule("last").running_mean += 1  # type: ignore[operator]
    assert frozen_digest(module, names, modules) != before


@pytest.mark.parametrize(
    ("rules", "moving"),
    [
        (("regex:stem",), {"layer1.1", "layer2.1", "extra.0", "last"}),
        (("regex:layer2",), {"whiten", "stem.1", "layer1.1"}),
        (("regex:layer1",), {"whiten", "stem.1", "layer2.1", "extra.0", "last"}),
    ],
)
def test_statistics_without_parameters_follow_the_layer_before_them(rules: tuple[str, ...], moving: set[str]) -> None:
    module, _, _ = freeze_small(*rules, backbone=whitened())
    assert moving_statistics(module) == moving


# What frozen means


def test_trainable_names_are_the_rest() -> None:
    module, names, _ = freeze_small("depth:2")
    assert trainable_names(module, names) == ("layer2.0.weight", "layer2.0.bias", "fc.weight", "fc.bias")
    assert trainable_names(nn.Linear(1, 1), {"weight", "bias"}) == ()


def test_apply_sets_requires_grad_both_ways_and_drops_gradients() -> None:
    backbone = small()
    train_steps(backbone.module, torch.optim.SGD(backbone.module.parameters(), lr=0.1), steps=1)
    for parameter in backbone.module.parameters():
        parameter.grad = torch.ones_like(parameter)
        parameter.requires_grad_(False)
    module, names, _ = freeze_small("depth:1", backbone=backbone)
    for name, parameter in module.named_parameters():
        assert parameter.requires_grad == (name not in names)
        assert (parameter.grad is None) == (name in names)


def test_apply_refuses_names_that_do_not_exist() -> None:
    with pytest.raises(FtError, match=r"1 parameter that should stay frozen cannot be found: conv9\.weight"):
        apply_frozen(small().module, {"conv9.weight", "scale"}, ())


def test_frozen_batchnorm_keeps_its_running_statistics_while_the_rest_moves() -> None:
    module, _, modules = freeze_small("regex:layer1", "regex:layer2")
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    set_train_mode(module, modules)
    train_steps(module, torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1))
    moved = {name for name, buffer in module.named_buffers() if not torch.equal(buffer, before[name])}
    assert moved == {"stem.1.running_mean", "stem.1.running_var", "stem.1.num_batches_tracked"}


def test_frozen_modules_return_to_eval_after_an_evaluation() -> None:
    module, _, modules = freeze_small("depth:1")
    module.eval()
    set_train_mode(module, modules)
    assert [path for path, part in module.named_modules() if not part.training] == [
        "stem",
        "stem.0",
        "stem.1",
        "stem.2",
    ]


@pytest.mark.parametrize("make", ["sgd", "adamw"])
def test_an_optimizer_with_momentum_and_decay_over_everything_leaves_frozen_tensors_as_they_were(make: str) -> None:
    backbone = small()
    module = backbone.module
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
        if make == "sgd"
        else torch.optim.AdamW(module.parameters(), lr=0.1, weight_decay=0.1)
    )
    train_steps(module, optimizer, steps=2)  # momentum builds up before the freeze
    _, names, modules = freeze_small("depth:2", backbone=backbone)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    digest = frozen_digest(module, names, modules)
    train_steps(module, optimizer)
    changed = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert frozen_digest(module, names, modules) == digest
    assert changed == {
        "layer2.0.weight",
        "layer2.0.bias",
        "layer2.1.running_mean",
        "layer2.1.running_var",
        "layer2.1.num_batches_tracked",
        "fc.weight",
        "fc.bias",
    }


# The digest


@pytest.mark.parametrize("name", ["stem.1.bias", "stem.1.running_var", "stem.1.num_batches_tracked", "scale"])
def test_the_digest_sees_every_frozen_tensor(name: str) -> None:
    module, names, modules = freeze_small("depth:1")
    before = frozen_digest(module, names, modules)
    with torch.no_grad():
        module.state_dict()[name].add_(1)
    assert frozen_digest(module, names, modules) != before


@pytest.mark.parametrize("name", ["fc.weight", "layer1.1.running_mean", "layer1.0.weight"])
def test_the_digest_ignores_what_trains(name: str) -> None:
    module, names, modules = freeze_small("depth:1")
    before = frozen_digest(module, names, modules)
    with torch.no_grad():
        module.state_dict()[name].add_(1)
    assert frozen_digest(module, names, modules) == before


def test_the_digest_does_not_depend_on_the_memory_format() -> None:
    module, names, modules = freeze_small("all")
    before = frozen_digest(module, names, modules)
    module.to(memory_format=torch.channels_last)
    assert frozen_digest(module, names, modules) == before


def test_the_digest_tells_types_and_shapes_apart() -> None:
    def digest(tensor: torch.Tensor) -> str:
        module = nn.Module()
        module.weight = nn.Parameter(tensor, requires_grad=False)
        return frozen_digest(module, {"weight"}, ())

    zeros = [torch.zeros(4), torch.zeros(2, 2), torch.zeros(8, dtype=torch.bfloat16), torch.zeros(16, dtype=torch.int8)]
    assert len({digest(tensor) for tensor in zeros}) == 4
    assert digest(torch.zeros(())) != digest(torch.zeros(1))
