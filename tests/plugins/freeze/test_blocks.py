import pytest
import torch

from backbones import resnet18, small
from ft import Backbone, FtError, Settings
from ft_freeze.blocks import block_paths, select


def of_torchvision(model: str) -> Backbone:
    from ft_torchvision.build import TorchvisionSettings, build

    with torch.device("meta"):
        return build(model, TorchvisionSettings())


def blocks(argument: str | None, backbone: Backbone | None = None) -> set[str]:
    """The blocks of resnet18 that are selected, as (layer, block)."""
    return {".".join(name.split(".")[:2]) for name in select(backbone or resnet18(), argument, Settings())}


def test_blocks_are_counted_from_the_input() -> None:
    assert blocks("0") == {"layer1.0"}
    assert blocks("0-2") == {"layer1.0", "layer1.1", "layer2.0"}
    assert blocks("0,2,5-7") == {"layer1.0", "layer2.0", "layer3.1", "layer4.0", "layer4.1"}


def test_negative_numbers_count_from_the_output() -> None:
    assert blocks("-1,-8") == {"layer4.1", "layer1.0"}


def test_all_of_a_block_is_selected_and_nothing_else() -> None:
    backbone = resnet18()
    assert select(backbone, "2", Settings()) == set(backbone.parameters_under("layer2.0"))


@pytest.mark.parametrize(
    ("model", "number", "first", "last"),
    [
        ("resnet50", 16, "layer1.0", "layer4.2"),
        ("vit_b_16", 12, "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_11"),
        ("swin_t", 12, "features.1.0", "features.7.1"),
        ("efficientnet_v2_s", 38, "features.2.0", "features.6.14"),
        ("inception_v3", 11, "Mixed_5b", "Mixed_7c"),
        ("squeezenet1_1", 8, "features.3", "features.12"),
    ],
)
def test_the_blocks_are_those_that_the_papers_count(model: str, number: int, first: str, last: str) -> None:
    paths = block_paths(of_torchvision(model))
    assert (len(paths), paths[0], paths[-1]) == (number, first, last)


@pytest.mark.parametrize("argument", ["3-1", "a", "1-", "1,,2", "1.5", "²", "0:2"])
def test_what_is_no_number_or_range_is_told(argument: str) -> None:
    with pytest.raises(FtError, match="is no number or range of blocks, as in 'blocks:0-5,8'"):
        blocks(argument)


@pytest.mark.parametrize(("argument", "absent"), [("8", "8"), ("0-9", "8"), ("-9", "-9")])
def test_a_block_that_does_not_exist_is_told(argument: str, absent: str) -> None:
    with pytest.raises(FtError, match=rf"resnet18 has the blocks 0 to 7 \(or -1, the last\), but no block {absent}"):
        blocks(argument)


def test_a_number_is_needed() -> None:
    with pytest.raises(FtError, match="blocks needs numbers of blocks"):
        blocks(None)


def test_a_backbone_of_layers_only_is_told_what_else_there_is() -> None:
    with pytest.raises(FtError, match="small has no blocks, only layers; its stages are stem, layer1, layer2"):
        blocks("0", small())
