import pytest

from backbones import SMALL_NAMES, resnet18, small
from ft import Backbone, FtError, Settings
from ft_freeze.depth import select


def depth(argument: str | None, backbone: Backbone | None = None) -> frozenset[str]:
    return select(backbone or small(), argument, Settings())


def frozen_stages(argument: str) -> list[str]:
    backbone = resnet18()
    names = depth(argument, backbone)
    stages = [stage for stage in backbone.stages if names & set(backbone.parameters_under(*stage.paths))]
    assert names == set(backbone.parameters_under(*(path for stage in stages for path in stage.paths)))
    return [stage.name for stage in stages]


def test_the_exact_names_of_the_first_stages() -> None:
    assert depth("1") == {"scale", "stem.0.weight", "stem.1.weight", "stem.1.bias"}
    assert depth("2") == set(SMALL_NAMES[:8])
    assert depth("3") == set(SMALL_NAMES)


@pytest.mark.parametrize(
    ("argument", "count"),
    [
        ("1", 1),
        ("5", 5),
        ("-1", 4),
        ("-4", 1),
        ("20%", 1),
        ("39.9%", 1),
        ("40%", 2),
        ("60%", 3),
        ("99%", 4),
        ("100%", 5),
    ],
)
def test_a_depth_is_a_number_a_share_rounded_down_or_what_is_left(argument: str, count: int) -> None:
    assert frozen_stages(argument) == ["stem", "layer1", "layer2", "layer3", "layer4"][:count]


@pytest.mark.parametrize("argument", ["0", "6", "-5", "-9", "0%", "19%", "101%"])
def test_out_of_range_is_told_with_the_stages(argument: str) -> None:
    with pytest.raises(FtError) as error:
        depth(argument, resnet18())
    assert str(error.value) == (
        f"'depth:{argument}' is not 1 to 5 stages of resnet18, which has: stem, layer1, layer2, layer3, layer4; "
        "write depth:1 to depth:5, or 'none'"
    )


@pytest.mark.parametrize("argument", ["three", "1.5", "-20%", "2 ", "%", "+1"])
def test_what_is_no_depth_is_told(argument: str) -> None:
    with pytest.raises(
        FtError, match=r"is no depth; write a number of stages or a share, as in 'depth:3' or 'depth:60%'"
    ):
        depth(argument)


@pytest.mark.parametrize("argument", [None, ""])
def test_a_depth_is_needed(argument: str | None) -> None:
    with pytest.raises(FtError, match="depth needs a number of stages, as in 'depth:3', 'depth:60%' or 'depth:-1'"):
        depth(argument)
