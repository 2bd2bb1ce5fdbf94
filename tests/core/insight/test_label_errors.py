"""Confident learning: the counts are those of the paper's definition, and planted mistakes are found."""

from __future__ import annotations

from functools import partial

import torch

from ft.extension.tasks import SolvableLoss
from ft.insight.label_errors import confident_joint, find_suspects, thresholds
from ft.insight.out_of_sample import Solver, answer_out_of_sample
from ft_optim.lbfgs import LBFGSSettings, build as build_lbfgs
from ft_tasks.cross_entropy import CrossEntropy


def probabilities(n: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers that are mostly right, and labels of which every class has some."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    logits = torch.randn(n, classes, generator=draw, dtype=torch.float64)
    logits[torch.arange(n), labels] += 1.5
    return logits.softmax(1), labels


def joint_by_definition(given: list[list[float]], labels: list[int]) -> list[list[int]]:
    """Equations 1 and 2 of Northcutt et al. 2021, image by image."""
    classes = range(len(given[0]))
    limit = {
        j: sum(p[j] for p, label in zip(given, labels, strict=True) if label == j) / labels.count(j) for j in classes
    }
    counts = [[0 for _ in classes] for _ in classes]
    for p, label in zip(given, labels, strict=True):
        sure = [j for j in classes if p[j] >= limit[j]]
        if sure:
            counts[label][max(sure, key=lambda j: p[j])] += 1
    return counts


def test_the_confident_joint_is_that_of_the_paper() -> None:
    for seed, classes in enumerate((2, 3, 7)):
        given, labels = probabilities(210, classes, seed)
        counts = confident_joint(given, labels).tolist()
        assert counts == joint_by_definition(given.tolist(), labels.tolist())
        assert sum(map(sum, counts)) > 50


def test_a_class_that_a_model_is_never_sure_of_has_a_low_threshold() -> None:
    given = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3]])
    torch.testing.assert_close(thresholds(given, torch.tensor([0, 0, 1, 1])), torch.tensor([0.85, 0.35]))


def test_a_label_that_is_the_likeliest_is_not_suspected_though_another_is_surer_than_usual() -> None:
    given = torch.tensor([[0.55, 0.45], [0.95, 0.05], [0.6, 0.4], [0.7, 0.3]])
    labels = torch.tensor([0, 0, 1, 1])
    assert confident_joint(given, labels)[0, 1] == 1
    assert [suspect.place for suspect in find_suspects(given, labels)] == []


def solver(classes: int) -> Solver:
    def loss(targets: torch.Tensor) -> SolvableLoss:
        return CrossEntropy(None, 0.0)

    return Solver(classes, loss, partial(build_lbfgs, settings=LBFGSSettings()), (0.1, 0.01, 0.001))


def test_planted_mistakes_are_suspected_first_and_little_else() -> None:
    draw = torch.Generator().manual_seed(0)
    truth = torch.arange(240) % 3
    features = torch.randn(240, 6, generator=draw) * 0.7 + 2 * torch.eye(6)[truth]
    flipped = list(range(0, 240, 20))
    labels = truth.clone()
    labels[flipped] = (truth[flipped] + 1) % 3
    folds = torch.arange(240) // 3 % 5
    answered = answer_out_of_sample(features, labels, folds, solver(3))
    suspects = find_suspects(answered.outputs.softmax(1), labels)
    found = [suspect.place for suspect in suspects]
    assert len(set(found) & set(flipped)) >= 11
    assert len(set(found) - set(flipped)) <= 6
    assert set(found[:8]) <= set(flipped)
    assert all(suspect.suggested == truth[suspect.place] for suspect in suspects if suspect.place in flipped)
    assert [suspect.margin for suspect in suspects] == sorted(suspect.margin for suspect in suspects)


def test_no_head_has_seen_the_image_that_it_answers() -> None:
    draw = torch.Generator().manual_seed(1)
    features, folds = torch.randn(60, 4, generator=draw), torch.arange(60) % 5
    labels = (features[:, 0] > 0).long()
    before = answer_out_of_sample(features, labels, folds, solver(2))
    changed = labels.clone()
    changed[7] = 1 - labels[7]
    one_penalty = solver(2)
    once = Solver(2, one_penalty.make_loss, one_penalty.minimiser, (before.penalty,))
    plain, after = (answer_out_of_sample(features, each, folds, once).outputs for each in (labels, changed))
    same_fold = folds == folds[7]
    torch.testing.assert_close(plain[same_fold], after[same_fold], rtol=0, atol=0)
    assert not torch.allclose(plain[~same_fold], after[~same_fold])
