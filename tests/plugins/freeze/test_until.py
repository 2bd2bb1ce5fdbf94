import pytest

from backbones import SMALL_NAMES, mixed_classifier, resnet18, small, with_aux
from ft import Backbone, FtError, Settings
from ft_freeze.until import select


def until(argument: str | None, backbone: Backbone | None = None) -> frozenset[str]:
    return select(backbone or small(), argument, Settings())


@pytest.mark.parametrize(
    ("argument", "count"),
    [
        ("stem", 4),
        ("layer1", 8),
        ("layer2", 10),
        ("scale", 1),
        ("stem.0", 2),
        ("stem.0.weight", 2),
        ("layer1.0", 6),
        ("layer1.0.weight", 5),
        ("layer1.1", 8),
    ],
)
def test_everything_up_to_and_including_it_is_frozen(argument: str, count: int) -> None:
    assert until(argument) == set(SMALL_NAMES[:count])


def test_a_module_without_parameters_stands_for_all_before_it() -> None:
    assert until("stem.2") == until("stem")
    assert until("layer2.1") == until("layer2.0")
    assert until("features.2", mixed_classifier()) == {"features.0.weight", "features.0.bias"}


def test_the_order_is_that_of_the_stages_not_of_the_module() -> None:
    names = until("aux", with_aux())  # the auxiliary classifier is registered last and lies before layer2
    assert names == {*SMALL_NAMES[:8], "aux.0.weight", "aux.0.bias"}


def test_a_module_over_several_stages_freezes_all_of_them() -> None:
    assert until("features", mixed_classifier()) == {
        "features.0.weight",
        "features.0.bias",
        "features.3.weight",
        "features.3.bias",
    }


def test_a_module_around_the_head_freezes_all_before_the_head() -> None:
    backbone = mixed_classifier()
    assert until("classifier", backbone) == set(backbone.parameter_names())


def test_the_exact_names_of_a_block_of_resnet18() -> None:
    backbone = resnet18()
    names = until("layer2.0.conv1", backbone)
    before = backbone.parameters_under("conv1", "bn1", "layer1")
    assert names == {*before, "layer2.0.conv1.weight"}


def test_a_name_that_is_none_is_told_with_the_nearest() -> None:
    with pytest.raises(FtError) as error:
        until("layr3", resnet18())
    assert str(error.value).startswith("resnet18 has no stage or module 'layr3'; near it are layer3, ")
    with pytest.raises(FtError, match="no stage or module 'qqqq'; near it are stem, layer1, layer2"):
        until("qqqq")


@pytest.mark.parametrize("argument", ["classifier.3", "classifier.3.weight"])
def test_the_head_is_no_place_to_stop(argument: str) -> None:
    with pytest.raises(
        FtError, match=f"'{argument}' lies in the head of mixed, which always trains; 'all' freezes all"
    ):
        until(argument, mixed_classifier())


def test_nothing_before_it_is_told() -> None:
    from torch import nn

    from ft import Stage

    module = nn.Sequential(nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 2))
    backbone = Backbone(module, ("2",), (Stage("all", ("1",)),), feature_dim=2)
    with pytest.raises(FtError, match="nothing up to '0' in Sequential has parameters to freeze"):
        until("0", backbone)


@pytest.mark.parametrize("argument", [None, ""])
def test_a_name_is_needed(argument: str | None) -> None:
    with pytest.raises(FtError, match="until needs a stage or a module, as in 'until:layer3'"):
        until(argument)
