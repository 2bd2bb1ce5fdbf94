from collections.abc import Iterator
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from backbones import small, with_aux
from ft import Backbone, FtError, Loss
from ft_freeze.fisher import FisherSettings, select, stage_scores

LOSS = cast(Loss, cross_entropy)
STEM = {"scale", "stem.0.weight", "stem.1.weight", "stem.1.bias"}


def batches(count: int = 2, size: int = 3) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(size, 3, 8, 8, generator=generator), torch.arange(size)) for _ in range(count)]


def evaluating(backbone: Backbone) -> Backbone:
    torch.manual_seed(0)
    for parameter in backbone.module.parameters():
        nn.init.normal_(parameter)
    backbone.module.eval()
    return backbone


def train(argument: str | None, backbone: Backbone, **settings: int) -> set[str]:
    """Names of the stages that are left to train."""
    frozen = select(backbone, argument, FisherSettings(**settings), batches(), LOSS)
    names = {stage.name: set(backbone.parameters_under(*stage.paths)) for stage in backbone.stages}
    assert all(members <= frozen or not members & frozen for members in names.values())
    return {name for name, members in names.items() if not members & frozen}


def test_a_score_is_the_mean_square_of_single_images_gradients() -> None:
    backbone = evaluating(small())
    ((images, labels),) = batches(1)
    alone = list(zip(images.split(1), labels.split(1), strict=True))
    stem = [backbone.module.get_parameter(name) for name in STEM]
    squares = 0.0
    for image, label in alone:
        gradients = torch.autograd.grad(cross_entropy(backbone.module(image), label), stem)
        squares += sum(float(gradient.square().sum()) for gradient in gradients)
    wanted = squares / len(alone) / sum(parameter.numel() for parameter in stem)
    assert stage_scores(backbone, alone, LOSS)[0] == pytest.approx(wanted, rel=1e-5)


def test_the_stages_with_the_highest_scores_train() -> None:
    backbone = evaluating(small())
    scores = stage_scores(backbone, [(image[:1], label[:1]) for image, label in batches(2, size=1)], LOSS)
    order = sorted(zip(scores, ("stem", "layer1", "layer2"), strict=True), reverse=True)
    one_each = batches(2, size=1)
    for count in (1, 2):
        frozen = select(backbone, str(count), FisherSettings(), one_each, LOSS)
        assert frozen == {
            name for _, stage in order[count:] for name in backbone.parameter_names() if name in _members(stage)
        }


def _members(stage: str) -> set[str]:
    return STEM if stage == "stem" else {name for name in small().parameter_names() if name.startswith(stage)}


def test_what_the_images_say_decides() -> None:
    """A stage whose output is multiplied by nothing tells nothing about any image."""
    backbone = evaluating(small())
    nn.init.zeros_(backbone.module.get_parameter("layer2.0.weight"))  # cuts off all before it
    assert train("1", backbone) == {"layer2"}
    assert train("2", backbone) == {"layer2", "layer1"}  # of equals, the later


def test_only_so_many_images_are_asked_for() -> None:
    asked = []

    def watched() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in batches(5):
            asked.append(batch)
            yield batch

    select(evaluating(small()), "1", FisherSettings(images=4), watched(), LOSS)
    assert len(asked) == 2


def test_auxiliary_classifiers_that_do_not_answer_in_eval_mode_count_as_nothing() -> None:
    assert "aux" not in train("3", evaluating(with_aux()))


@pytest.mark.parametrize("argument", [None, "", "0", "3", "-1", "50%", "²"])
def test_a_number_of_stages_is_needed(argument: str | None) -> None:
    with pytest.raises(
        FtError, match="fisher needs the number of stages that train, 1 to 2 of small, as in 'fisher:1'"
    ):
        train(argument, evaluating(small()))


def test_a_head_that_stops_gradients_is_told() -> None:
    backbone = evaluating(small())
    nn.init.zeros_(backbone.module.get_parameter("fc.weight"))
    with pytest.raises(FtError, match="no gradient reaches small through the head; a head that starts from zero"):
        train("1", backbone)


def test_weights_that_give_no_numbers_are_told() -> None:
    backbone = evaluating(small())
    nn.init.constant_(backbone.module.get_parameter("scale"), float("nan"))
    with pytest.raises(FtError, match="no finite numbers"):
        train("1", backbone)
