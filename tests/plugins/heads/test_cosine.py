import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import cosine_similarity

from ft_heads.cosine import CosineSettings, build


def test_logits_are_scaled_cosines() -> None:
    head = build(5, 3, CosineSettings(scale=4))
    features = torch.randn(2, 5)
    wanted = 4 * cosine_similarity(features[:, None], head.get_parameter("weight")[None], dim=2)
    assert torch.allclose(head(features), wanted, atol=1e-6)


def test_the_length_of_features_does_not_matter() -> None:
    head = build(5, 3, CosineSettings())
    features = torch.randn(2, 5)
    assert torch.allclose(head(features), head(7 * features), atol=1e-5)


@pytest.mark.parametrize("learns", [True, False])
def test_the_scale_trains_unless_told_not_to(learns: bool) -> None:
    head = build(5, 3, CosineSettings(learn_scale=learns))
    head(torch.randn(2, 5)).sum().backward()
    scale = head.get_parameter("scale")
    assert (scale.item(), scale.requires_grad, scale.grad is not None) == (10, learns, learns)


def test_a_scale_that_turns_classes_round_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        CosineSettings(scale=-1)
