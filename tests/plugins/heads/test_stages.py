from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from backbones import Small, small, with_aux
from ft import Backbone, FtError
from ft.config.component import ComponentConfig
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft.model.head import Model, build_model
from ft.model.reading import read_by
from ft_heads.stages import StagesSettings, reads


def read(backbone: Backbone, plugins: Plugins, **settings: object) -> Model:
    return build_model(backbone, ComponentConfig(use="stages", **settings), 3, plugins, seed=0)  # type: ignore[arg-type]


def test_the_head_gets_what_each_stage_gives_averaged_and_normalised(plugins: Plugins) -> None:
    backbone, images = small(), torch.rand(4, 3, 8, 8)
    backbone.module.eval()
    own, outputs = Small(), list[Tensor]()
    own.load_state_dict(backbone.module.state_dict())
    outputs.append(own.eval().stem(images * own.scale))
    outputs += [own.layer1(outputs[-1])]
    outputs += [own.layer2(outputs[-1])]
    model = read(backbone, plugins)
    with read_by(model.module.get_submodule("fc")) as given:
        answers = model.module.eval()(images)
    parts = [layer_norm(each.mean((2, 3)), (each.shape[1],)) for each in outputs]
    weights = [(18 / 3 / each.shape[1]) ** 0.5 for each in parts]  # each stage counts as much as the others
    wanted = torch.cat([part * weight for part, weight in zip(parts, weights, strict=True)], 1)
    torch.testing.assert_close(given[0], wanted)
    torch.testing.assert_close(answers, model.module.get_submodule("fc")(wanted))
    assert model.description == (
        "fc: Linear(18 → 3) replaces Linear(8 → 10)",
        "reads 18 numbers of 3 stages: stem 4, layer1 6, layer2 8",
    )


def test_names_of_tensors_and_layers_stay(plugins: Plugins) -> None:
    before = small()
    names, layers = set(before.module.state_dict()), set(before.module_paths())
    after = read(before, plugins).backbone
    assert set(after.module.state_dict()) == names
    assert set(after.module_paths()) == layers
    assert after.module.get_submodule("layer1.2") is before.module.get_submodule("layer1.2")


class InPlace(Small):
    """As Small, with a layer behind the first stage that changes in place what that gave."""

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.layer2(self.layer1(self.stem(images * self.scale).mul_(0))).mean((2, 3)))


def test_a_stage_is_read_before_another_layer_changes_its_output(plugins: Plugins) -> None:
    images, (usual, changed) = torch.rand(4, 3, 8, 8), (small(), replace(small(), module=InPlace()))
    changed.module.load_state_dict(usual.module.state_dict())
    firsts = []
    for backbone in (usual, changed):
        model = read(backbone, plugins)
        with read_by(model.module.get_submodule("fc")) as given:
            model.module.eval()(images)
        firsts.append(given[0][:, :4])
    torch.testing.assert_close(*firsts)


def test_stages_can_be_chosen(plugins: Plugins) -> None:
    assert reads(("a", "b"), StagesSettings()) == ("a", "b")
    assert read(small(), plugins, read=["layer1"]).description[-1] == "reads 14 numbers of 2 stages: layer1 6, layer2 8"
    with pytest.raises(FtError, match=r"'layer9', and small has none .* Did you mean 'layer1'\? There are: stem, lay"):
        read(small(), plugins, read=["layer9"])


class Asking(Small):
    """As Small, with code that asks what is in the images."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images * 2 if images.sum() > 0 else images)


class Otherwise(Small):
    """As Small, with code that scales images in training."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images * 2 if self.training else images)


class Spare(Small):
    """As Small, with a layer that is of no use."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("backbone", "why"),
    [
        (with_aux, "has auxiliary classifiers"),
        (lambda: replace(small(), head_form="map", pooled_after=()), "classifies every position"),
        (lambda: replace(small(), module=Asking()), "cannot be followed from stage to stage"),
        (lambda: replace(small(), module=Otherwise()), "computes something else in training than in evaluation"),
        (lambda: replace(small(), module=Spare()), "does not use all that it holds: spare.bias"),
    ],
)
def test_a_network_whose_stages_cannot_be_read_is_refused(
    backbone: Callable[[], Backbone], why: str, plugins: Plugins
) -> None:
    with pytest.raises(FtError, match=rf"^--head stages reads .*{why}.*use --head linear"):
        read(backbone(), plugins)
    model = read(backbone(), plugins, required=False)
    assert model.description[-1].startswith("reads the features alone: ")
    assert why in model.description[-1]
    assert model.backbone.feature_dim == 8


def test_with_all_else_frozen_it_is_solved_for_on_features_computed_once_and_saved(
    tiny_config: Callable[..., Config], plugins: Plugins
) -> None:
    config = tiny_config(head="stages", freeze=["all"], training__optimizer="lbfgs", cache__promise="exact")
    plan = prepare(config, plugins, Display(), tensors="random").plan
    assert (plan.cache.keeps, plan.cache.bytes_per_image) == ("features", 18 * 4)
    run, report = finetune(config, plugins, Display())
    assert report.frozen_digest_before == report.frozen_digest_after
    assert set(torch.load(run.path / "best.pt", weights_only=True)["tensors"]) == {"fc.weight", "fc.bias"}
    assert report.val["loss"] == pytest.approx(report.chosen_by["loss"], rel=1e-5)  # of the model that was saved


def test_beside_a_stage_that_trains_it_learns_alike_with_and_without_the_cache(
    tiny_config: Callable[..., Config], plugins: Plugins, tmp_path: Path
) -> None:
    weights = []
    for promise in ("off", "exact"):
        keys = {"head": "stages", "freeze": ["depth:2"], "cache__promise": promise, "images__augment": "none"}
        run, report = finetune(tiny_config(**keys, run_dir=tmp_path / promise), plugins, Display())
        assert report.cache.promise == promise
        weights.append(torch.load(run.path / "last.pt", weights_only=True)["tensors"])
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
