import pytest
import torch
from pydantic import ValidationError
from torch import nn

from ft.model.head import describe
from ft_heads.mlp import MlpSettings, build, build_map


def test_the_defaults_are_those_of_fastai() -> None:
    head = build(1024, 7, MlpSettings())
    assert describe(head) == (
        "BatchNorm1d, Dropout(0.25), Linear(1024 → 512), ReLU, BatchNorm1d, Dropout(0.5), Linear(512 → 7)"
    )
    assert [part.bias is None for part in head if isinstance(part, nn.Linear)] == [True, True]


@pytest.mark.parametrize(
    ("settings", "layers"),
    [
        (MlpSettings(hidden=()), "BatchNorm1d, Dropout(0.5), Linear(8 → 3)"),
        (MlpSettings(hidden=(4,), norm="none", dropout=0), "Linear(8 → 4), ReLU, Linear(4 → 3)"),
        (
            MlpSettings(hidden=(6, 4), norm="layer", dropout=0.2),
            "LayerNorm, Dropout(0.1), Linear(8 → 6), ReLU, LayerNorm, Dropout(0.1), Linear(6 → 4), ReLU, "
            "LayerNorm, Dropout(0.2), Linear(4 → 3)",
        ),
    ],
)
def test_settings_choose_the_layers(settings: MlpSettings, layers: str) -> None:
    assert describe(build(8, 3, settings)) == layers


def test_without_normalisation_layers_have_a_bias() -> None:
    head = build(8, 3, MlpSettings(norm="none"))
    assert all(part.bias is not None for part in head if isinstance(part, nn.Linear))


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_the_form_for_positions_does_the_same_at_every_position(norm: str) -> None:
    settings = MlpSettings.model_validate({"norm": norm, "hidden": (5,)})
    head, positions = build(6, 3, settings).eval(), build_map(6, 3, settings).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for ours, theirs in zip(head.state_dict().values(), positions.state_dict().values(), strict=True):
            if ours.is_floating_point():
                ours.uniform_(0.5, 1.5)
            theirs.copy_(ours.reshape(theirs.shape))
        features = torch.rand(2, 6, 2, 4)
        expected = torch.stack([head(position) for position in features.flatten(2).unbind(2)], dim=2)
        torch.testing.assert_close(positions(features), expected.reshape(2, 3, 2, 4))


@pytest.mark.parametrize("make", [build, build_map])
def test_every_layer_learns(make: object) -> None:
    head = make(6, 3, MlpSettings(hidden=(5,), dropout=0))  # type: ignore[operator]
    torch.manual_seed(0)
    head(torch.rand(4, 6) if make is build else torch.rand(4, 6, 2, 2)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in head.parameters())


@pytest.mark.parametrize("values", [{"hidden": [0]}, {"hidden": 5}, {"norm": "group"}, {"dropout": 1}])
def test_settings_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MlpSettings.model_validate(values)
