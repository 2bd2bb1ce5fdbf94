import pytest
from torch import nn

from backbones import resnet18, small
from ft import Backbone, FtError, Settings, Stage
from ft_freeze.type import select


def of_type(argument: str | None, backbone: Backbone | None = None) -> frozenset[str]:
    return select(backbone or small(), argument, Settings())


def transformer() -> Backbone:
    module = nn.Module()
    module.token = nn.Parameter(nn.Linear(4, 1).weight.detach())
    module.block = nn.TransformerEncoderLayer(4, 2, 8)
    module.fc = nn.Linear(4, 2)
    return Backbone(module, ("fc",), (Stage("all", ("token", "block")),), feature_dim=4, name="vit")


def test_the_exact_names_by_type() -> None:
    assert of_type("norm") == {"stem.1.weight", "stem.1.bias", "layer1.1.weight", "layer1.1.bias"}
    assert of_type("conv") == {"stem.0.weight", "layer1.0.weight", "layer1.0.bias", "layer2.0.weight", "layer2.0.bias"}
    assert of_type("bias") == {"stem.1.bias", "layer1.0.bias", "layer1.1.bias", "layer2.0.bias"}


def test_several_types_add_up() -> None:
    assert of_type("norm,conv") == of_type("norm") | of_type("conv")


def test_attention_counts_as_linear() -> None:
    assert of_type("linear", transformer()) == {
        "block.self_attn.in_proj_weight",
        "block.self_attn.in_proj_bias",
        "block.self_attn.out_proj.weight",
        "block.self_attn.out_proj.bias",
        "block.linear1.weight",
        "block.linear1.bias",
        "block.linear2.weight",
        "block.linear2.bias",
    }
    assert of_type("norm", transformer()) == {f"block.norm{i}.{leaf}" for i in (1, 2) for leaf in ("weight", "bias")}
    assert "block.self_attn.in_proj_bias" in of_type("bias", transformer())


def test_every_normalisation_of_resnet18() -> None:
    names = of_type("norm", resnet18())
    assert len(names) == 40
    assert {name.split(".")[-2] for name in names} == {"bn1", "bn2", "1"}  # downsample.1 is one


@pytest.mark.parametrize("argument", ["linear", "conv,linear"])
def test_a_type_that_only_the_head_has_is_told(argument: str) -> None:
    with pytest.raises(
        FtError, match="'type:linear' matches nothing in resnet18 outside the head, which always trains"
    ):
        of_type(argument, resnet18())


@pytest.mark.parametrize(("argument", "kind"), [("nrom", "nrom"), ("conv,nrom", "nrom"), ("conv, norm", " norm")])
def test_a_type_that_does_not_exist_is_told_with_the_nearest(argument: str, kind: str) -> None:
    with pytest.raises(FtError, match=rf"'{kind}' is no kind of layer\. Did you mean 'norm'\? There are: norm, conv"):
        of_type(argument)


@pytest.mark.parametrize("argument", [None, ""])
def test_a_type_is_needed(argument: str | None) -> None:
    with pytest.raises(FtError, match="type needs a kind of layer, as in 'type:norm' or 'type:conv,linear'"):
        of_type(argument)
