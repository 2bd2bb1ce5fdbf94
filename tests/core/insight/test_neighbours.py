"""Neighbours, outliers and the map: exact, and as told on features of which all is known."""

from __future__ import annotations

import torch

from ft.insight.components import principal_components
from ft.insight.neighbours import directions, nearest
from ft.insight.outliers import FEWEST, find_strangers


def test_neighbours_are_the_nearest_by_cosine_and_never_the_image_itself() -> None:
    units = directions(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)))
    near = nearest(units, 3)
    for row in range(50):
        cosines = [(float(units[row] @ units[other]), other) for other in range(50) if other != row]
        assert near.places[row].tolist() == [other for _, other in sorted(cosines, reverse=True)[:3]]


def test_what_all_images_have_in_common_does_not_make_them_near() -> None:
    features = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(directions(features + 100), directions(features), rtol=0, atol=1e-4)


def test_an_image_unlike_the_others_is_the_one_outlier() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(6, 16, generator=draw)[torch.arange(120) % 6] * 4 + torch.randn(120, 16, generator=draw)
    features[77] = torch.randn(16, generator=draw) * 8
    near = nearest(directions(features), 10)
    assert [stranger.place for stranger in find_strangers(near.distances)] == [77]


def test_of_a_handful_of_images_none_is_unusual() -> None:
    assert find_strangers(torch.rand(FEWEST - 1, 2)) == ()


def test_the_map_has_the_directions_of_the_largest_variance_with_more_images_than_features_or_fewer() -> None:
    draw = torch.Generator().manual_seed(0)
    for n, width in ((60, 5), (20, 30)):
        features = torch.randn(n, width, generator=draw, dtype=torch.float64)
        features[:, 2] *= 10
        made = principal_components(features, 2)
        assert made.shape == (n, 2)
        _, values, _ = torch.linalg.svd(features - features.mean(0))
        torch.testing.assert_close(made.norm(dim=0), values[:2])
        largest = made[:, 0].abs().argmax()
        assert made[largest, 0] > 0
