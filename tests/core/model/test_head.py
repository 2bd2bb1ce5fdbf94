from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from backbones import mixed_classifier, positional, resnet18, small, with_aux, with_pooling
from ft import Backbone, FtError, HeadBuilder
from ft.config.schema import ComponentConfig
from ft.extension.installed import Component, Plugin, Plugins, load_plugins
from ft.extension.kinds import KINDS
from ft.model.head import Model, build_model, describe

PLUGINS = load_plugins()


def build(backbone: Backbone, use: str = "linear", classes: int = 2, seed: int = 0, **settings: Any) -> Model:
    return build_model(backbone, ComponentConfig(use=use, **settings), classes, PLUGINS, seed)


def with_builder(**fields: Any) -> Plugins:
    record = HeadBuilder("mine", "A test's own", **fields)
    component = Component(KINDS["head"], record, "some-dist", "1.2")
    return Plugins((Plugin("mine", "mine", "some-dist", "1.2", "ok", "", (component,)),))


def test_a_new_head_replaces_the_classifier() -> None:
    model = build(small())
    assert model.module(torch.zeros(3, 3, 4, 4)).shape == (3, 2)
    assert model.description == ("fc: Linear(8 → 2) replaces Linear(8 → 10)",)
    assert model.new_head
    assert model.head_paths == ("fc",)


def test_only_the_last_layer_of_a_longer_classifier_is_replaced() -> None:
    model = build(mixed_classifier(), "mlp", hidden=[5])
    assert model.description == (
        "classifier.3: BatchNorm1d, Dropout(0.25), Linear(7 → 5), ReLU, BatchNorm1d, Dropout(0.5), Linear(5 → 2) "
        "replaces Linear(7 → 10)",
    )
    assert model.module(torch.zeros(2, 3, 9, 9)).shape == (2, 2)


def test_auxiliary_classifiers_get_heads_of_their_own_size() -> None:
    model = build(with_aux())
    assert model.description == (
        "fc: Linear(8 → 2) replaces Linear(8 → 10)",
        "aux.2: Linear(5 → 2) replaces Linear(5 → 10)",
    )
    logits, auxiliary = model.module.train()(torch.zeros(3, 3, 4, 4))
    assert logits.shape == auxiliary.shape == (3, 2)


def test_a_classifier_of_positions_stays_a_convolution() -> None:
    model = build(positional())
    assert isinstance(model.module.get_submodule("classifier.1"), nn.Conv2d)
    assert model.module(torch.zeros(3, 3, 5, 5)).shape == (3, 2)
    assert model.description == ("classifier.1: Conv2d(8 → 2) replaces Conv2d(8 → 10)",)


def pooling_after() -> Backbone:
    return replace(positional(), pooled_after=("classifier.2", "classifier.3"))


def test_where_the_backbone_says_what_pools_after_its_classifier_a_new_one_pools_first() -> None:
    model = build(pooling_after())
    assert model.description == (
        "classifier.1: AdaptiveAvgPool2d, Flatten, Linear(8 → 2) replaces Conv2d(8 → 10)",
        "classifier.2: ReLU goes, since the head pools",
        "classifier.3: AdaptiveAvgPool2d goes, since the head pools",
    )
    module, images = model.module.eval(), torch.rand(3, 3, 5, 5)
    pooled = module.get_submodule("features")(images).mean((2, 3))
    linear = module.get_submodule("classifier.1.head")
    nn.init.constant_(linear.get_parameter("bias"), -5.0)
    torch.testing.assert_close(module(images), linear(pooled))
    assert module(images).min() < 0, "no ReLU cuts the logits"
    assert model.head_paths == ("classifier.1",)


def test_there_a_head_may_bring_its_own_pooling_and_needs_no_form_for_positions() -> None:
    model = build(pooling_after(), "gem")
    assert model.description[0].startswith("classifier.1: GeneralisedMean, Flatten, Linear(8 → 2) replaces")
    assert model.module(torch.rand(3, 3, 5, 5)).shape == (3, 2)
    assert build(pooling_after(), "cosine").module(torch.rand(3, 3, 5, 5)).shape == (3, 2)
    with pytest.raises(FtError, match=r"'gem' .* has no build_map, which a backbone that classifies every position"):
        build(positional(), "gem")


def test_a_classifier_that_is_kept_keeps_what_pools_after_it() -> None:
    backbone, images = pooling_after(), torch.rand(3, 3, 5, 5)
    expected = backbone.module.eval()(images)
    assert torch.equal(build(backbone, "keep", classes=10).module.eval()(images), expected)


@pytest.mark.parametrize("use", ["linear", "mlp"])
def test_shapes_without_values_are_enough(use: str) -> None:
    model = build(resnet18(), use)
    assert {parameter.device.type for parameter in model.module.parameters()} == {"meta"}
    assert model.module(torch.zeros(2, 3, 64, 64, device="meta")).shape == (2, 2)


def test_the_same_seed_gives_the_same_head_whatever_was_drawn_before() -> None:
    torch.manual_seed(1)
    first = build(small(), seed=7).module.get_submodule("fc").state_dict()
    torch.manual_seed(2)
    second = build(small(), seed=7).module.get_submodule("fc").state_dict()
    other = build(small(), seed=8).module.get_submodule("fc").state_dict()
    assert torch.equal(first["weight"], second["weight"])
    assert not torch.equal(first["weight"], other["weight"])


def test_building_leaves_the_generator_as_it_was() -> None:
    backbone = small()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    build(backbone)
    assert torch.equal(torch.rand(1), expected)


def test_a_new_head_is_in_train_mode() -> None:
    assert all(part.training for part in build(small(), "mlp").module.modules())


def test_keep_keeps_the_pretrained_classifier() -> None:
    backbone = small()
    before = backbone.module.get_submodule("fc")
    model = build(backbone, "keep", classes=10)
    assert model.module.get_submodule("fc") is before
    assert model.description == ("fc: keeps Linear(8 → 10)",)
    assert not model.new_head


@pytest.mark.parametrize("backbone", [small, positional, with_aux, resnet18])
def test_keep_needs_as_many_classes_as_it_was_trained_for(backbone: Any) -> None:
    with pytest.raises(
        FtError, match=r"--head keep keeps '\S+', which gives 10(00)? numbers an image, and the task needs 2"
    ):
        build(backbone(), "keep")


def test_keep_takes_no_settings() -> None:
    with pytest.raises(FtError, match=r"unknown setting 'head\.dropout'\. It takes no settings"):
        build(small(), "keep", classes=10, dropout=0.5)


def test_unknown_head_settings_are_errors_with_the_nearest_name() -> None:
    with pytest.raises(FtError, match=r"unknown setting 'head\.droput'\. Did you mean 'dropout'"):
        build(small(), droput=0.5)


def test_a_head_takes_no_argument() -> None:
    with pytest.raises(FtError, match="head 'mlp' takes settings, not an argument; write --set head"):
        build(small(), "mlp:256")


def test_an_unknown_head_is_named_with_the_nearest() -> None:
    with pytest.raises(FtError, match=r"no head builder named 'linar'\. Did you mean 'linear'"):
        build(small(), "linar")


def own(build: Any, backbone: Backbone | None = None) -> Model:
    return build_model(backbone or small(), ComponentConfig(use="mine"), 2, with_builder(build=build), 0)


def test_a_head_of_the_wrong_size_is_told_with_its_distribution() -> None:
    with pytest.raises(FtError) as error:
        own(lambda dim, classes, settings: nn.Linear(dim, classes + 1))
    assert str(error.value) == (
        "head builder 'mine' of some-dist 1.2 built a head that turns [2, 8] into [2, 3]; the task needs [2, 2]"
    )


def test_a_head_that_cannot_take_the_features_is_told_with_its_distribution() -> None:
    with pytest.raises(FtError, match=r"'mine' of some-dist 1\.2 built a head that fails on \[2, 8\]: mat1 and mat2"):
        own(lambda dim, classes, settings: nn.Linear(dim + 1, classes))


def test_a_head_that_is_no_module_is_told_with_its_distribution() -> None:
    with pytest.raises(FtError, match=r"'mine' of some-dist 1\.2 returned 'fc'; it has to return a torch\.nn\.Module"):
        own(lambda dim, classes, settings: "fc")


def test_a_head_without_a_form_for_positions_is_told_with_its_distribution() -> None:
    with pytest.raises(FtError, match=r"'mine' of some-dist 1\.2 has no build_map.*use --head linear"):
        own(lambda dim, classes, settings: nn.Linear(dim, classes), positional())


class Answering(nn.Module):
    """A head that makes `change` of the logits of a linear layer, in train mode only or in both."""

    def __init__(self, dim: int, classes: int, change: Any, only_in_training: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, classes)
        self.change, self.only_in_training = change, only_in_training

    def forward(self, features: torch.Tensor) -> Any:
        logits = self.linear(features)
        return self.change(logits) if self.training or not self.only_in_training else logits


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x: (x, x.sum(1)), "a tuple of 2: [2, 2], [2]"),
        (lambda x: {"logits": x}, "a dict with logits: [2, 2]"),
        (lambda x: x.tolist(), "a list of 2: a list of 2: a float, a float, a list of 2: a float, a float"),
        (lambda x: x / 0 * 0, "[2, 2] of which 4 of 4 values are NaN or infinite"),
        (lambda x: x.log().clamp(max=float("inf")) - float("inf"), "[2, 2] of which 4 of 4 values are NaN or infinite"),
        (lambda x: x.argmax(1, keepdim=True).expand(2, 2), "[2, 2] of torch.int64, not of floating-point numbers"),
        (lambda x: None, "a NoneType"),
    ],
)
@pytest.mark.parametrize("only_in_training", [False, True])
def test_a_head_that_does_not_answer_with_logits_is_told(change: Any, told: str, only_in_training: bool) -> None:
    with pytest.raises(FtError) as error:
        own(lambda dim, classes, settings: Answering(dim, classes, change, only_in_training))
    mode = " in train mode" if only_in_training else ""
    assert str(error.value) == (
        f"head builder 'mine' of some-dist 1.2 built a head that turns [2, 8] into {told}{mode}; the task needs [2, 2]"
    )


def test_trying_a_head_leaves_its_statistics_alone() -> None:
    for norm in (nn.BatchNorm1d(8), nn.LazyBatchNorm1d()):
        head = own(lambda dim, classes, settings, norm=norm: nn.Sequential(norm, nn.Linear(dim, classes))).module.fc
        assert isinstance(head, nn.Sequential)
        assert int(head[0].num_batches_tracked) == 0
        assert torch.equal(head[0].running_mean, torch.zeros(8))


class Margin(nn.Linear):
    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(x) if labels is None else super().forward(x) - nn.functional.one_hot(labels)


class Required(nn.Linear):
    def forward(self, x: torch.Tensor, *, y: torch.Tensor) -> torch.Tensor:
        return super().forward(x) - y


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (Margin, "labels"),
        (
            lambda dim, classes: nn.Sequential(nn.LayerNorm(dim), nn.Sequential(nn.ReLU(), Margin(dim, classes))),
            "labels",
        ),
        (Required, "y"),
    ],
)
def test_a_head_that_wants_labels_is_refused(make: Any, name: str) -> None:
    with pytest.raises(FtError, match=rf"built a head that takes '{name}', which ft does not give it.*Leave '{name}'"):
        own(lambda dim, classes, settings: make(dim, classes))


def test_a_head_whose_code_asks_for_values_can_be_planned() -> None:
    model = own(
        lambda dim, classes, settings: Answering(dim, classes, lambda x: x * max(1, x.sum().item())), resnet18()
    )
    assert next(model.module.parameters()).is_meta


def test_nothing_is_replaced_when_one_of_the_heads_fails() -> None:
    backbone = with_aux()
    with pytest.raises(FtError, match=r"fails on \[2, 5\]"):
        own(lambda dim, classes, settings: nn.Linear(8, classes), backbone)
    assert backbone.module.get_submodule("fc").out_features == 10


def test_a_head_that_learns_its_input_size_from_the_first_batch_is_seeded_too() -> None:
    first = own(lambda dim, classes, settings: nn.LazyLinear(classes)).module.get_submodule("fc")
    second = own(lambda dim, classes, settings: nn.LazyLinear(classes)).module.get_submodule("fc")
    assert torch.equal(first.weight, second.weight)


def test_layers_are_described_with_their_sizes() -> None:
    head = nn.Sequential(nn.Dropout(0.2), nn.Flatten(), nn.Linear(3, 2))
    assert describe(head) == "Dropout(0.2), Flatten, Linear(3 → 2)"


def test_a_head_that_pools_replaces_the_pooling_too() -> None:
    backbone = with_pooling()
    model = build(backbone, "gem")
    assert model.description == (
        "fc: Linear(8 → 2) replaces Linear(8 → 10)",
        "pool: GeneralisedMean replaces AdaptiveAvgPool2d",
    )
    assert model.head_paths == ("fc", "pool")
    assert model.module(torch.zeros(3, 3, 4, 4)).shape == (3, 2)
    assert backbone.in_head("pool.p")
    assert "pool.p" not in backbone.parameter_names()


def test_the_pooling_that_came_with_the_backbone_is_where_one_can_stop() -> None:
    assert not with_pooling().in_head("pool")
    assert "pool" in with_pooling().module_paths()


def test_a_head_that_pools_needs_a_pooling_to_replace() -> None:
    with pytest.raises(FtError, match=r"head builder 'gem' of ftkit .* and small has no pooling layer .*--head linear"):
        build(small(), "gem")


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        (lambda dim, settings: nn.Flatten(), r"turns \[2, 8, 3, 2\] into \[2, 48\]; the head needs \[2, 8, 1, 1\]"),
        (lambda dim, settings: None, "returned None from build_pool"),
    ],
)
def test_a_pooling_that_does_not_fit_is_told(pool: Any, told: str) -> None:
    plugins = with_builder(build=lambda dim, classes, settings: nn.Linear(dim, classes), build_pool=pool)
    with pytest.raises(FtError, match=f"'mine' of some-dist 1.2 .*{told}"):
        build_model(with_pooling(), ComponentConfig(use="mine"), 2, plugins, 0)
