import pytest
import torch

from ft import FtError
from ft_heads.attention_pool import AttentionPoolSettings, build, build_pool


@pytest.mark.parametrize("heads", [1, 3])
def test_it_starts_as_the_average(heads: int) -> None:
    features = torch.randn(2, 6, 4, 3)
    pooled = build_pool(6, AttentionPoolSettings(heads=heads))(features)
    assert torch.allclose(pooled, features.mean((2, 3), keepdim=True), atol=1e-6)


def test_each_head_weighs_positions_for_its_own_share_of_the_features() -> None:
    pool = build_pool(4, AttentionPoolSettings(heads=2))
    features = torch.zeros(1, 4, 1, 3)
    features[0, :, 0, 1] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    features[0, 0, 0, 2] = -1.0
    with torch.no_grad():
        pool.get_submodule("score").weight[0, 0] = 100.0  # type: ignore[index, operator, union-attr]
        pooled = pool(features).flatten()
    # the first head looks at the second position alone, where its score is highest; the second averages
    assert torch.allclose(pooled, torch.tensor([1.0, 2.0, 1.0, 4 / 3]))


def test_heads_that_do_not_divide_the_features_are_told_what_would() -> None:
    with pytest.raises(FtError, match=r"8 heads cannot share 12 features; use --set head\.heads=6"):
        build_pool(12, AttentionPoolSettings(heads=8))


def test_the_classifier_is_linear() -> None:
    assert build(5, 3, AttentionPoolSettings())(torch.zeros(2, 5)).shape == (2, 3)
