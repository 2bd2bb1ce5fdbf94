import pytest
import torch
from pydantic import ValidationError
from torch import nn

from ft_heads.linear import LinearSettings, build, build_map


def test_a_head_is_one_linear_layer_unless_more_is_asked_for() -> None:
    head = build(6, 3, LinearSettings())
    assert isinstance(head, nn.Linear)
    assert (head.in_features, head.out_features) == (6, 3)
    assert set(dict(head.named_parameters())) == {"weight", "bias"}


def test_dropout_comes_before_the_layer() -> None:
    head = build(6, 3, LinearSettings(dropout=0.2))
    assert [type(part) for part in head.children()] == [nn.Dropout, nn.Linear]
    assert head.get_submodule("0").p == 0.2


@pytest.mark.parametrize("make", [build, build_map])
def test_a_bias_can_be_left_out(make: object) -> None:
    assert set(dict(make(6, 3, LinearSettings(bias=False)).named_parameters())) == {"weight"}  # type: ignore[operator]


@pytest.mark.parametrize("make", [build, build_map])
def test_zero_weights_make_all_classes_equally_likely(make: object) -> None:
    head = make(6, 3, LinearSettings(zero_init=True))  # type: ignore[operator]
    assert all(torch.equal(parameter, torch.zeros_like(parameter)) for parameter in head.parameters())


def test_the_form_for_positions_does_the_same_at_every_position() -> None:
    head, positions = build(6, 3, LinearSettings()), build_map(6, 3, LinearSettings())
    with torch.no_grad():
        positions.weight.copy_(head.weight[:, :, None, None])
        positions.bias.copy_(head.bias)
        features = torch.rand(2, 6, 4, 5)
        expected = head(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        torch.testing.assert_close(positions(features), expected)


def test_the_form_for_positions_starts_as_squeezenet_published() -> None:
    torch.manual_seed(0)
    head = build_map(512, 100, LinearSettings())
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert head.bias.abs().max() == 0
    assert head.kernel_size == (1, 1)


@pytest.mark.parametrize("values", [{"dropout": 1.0}, {"dropout": -0.1}, {"bais": True}])
def test_settings_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LinearSettings.model_validate(values)
