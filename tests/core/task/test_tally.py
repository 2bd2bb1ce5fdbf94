"""What is counted in training."""

from __future__ import annotations

import torch

from classified import classification
from ft.extension.tasks import LabelSpace
from ft.task.evaluation import Answered
from ft.task.tally import TOGETHER, Tally


def steps() -> list[list[Answered]]:
    """The answers of some steps, each in two parts, of which one makes up most of what is counted together."""
    made = []
    for step, images in enumerate((5, 3, TOGETHER // 4, 2, 1)):
        torch.manual_seed(step)
        logits, labels = torch.randn(images, 4), torch.randint(4, (images,))
        made.append([(logits[:1], labels[:1]), (logits[1:], labels[1:])])
    return made


def test_right_answers_are_counted_once_however_many_come_together() -> None:
    tally, seen = Tally(classification().count(LabelSpace(tuple("abcd")))), list[float]()
    total = 0.0
    for answers in steps():
        total = tally.add(answers, total)
        seen.append(total)
    assert seen[:2] == [0.0, 0.0]
    assert 0 < seen[2] == seen[4]
    expected = sum(int((o.argmax(1) == t).sum()) for answers in steps() for o, t in answers)
    assert tally.settle(total) == expected > total
    assert tally.settle(expected) == expected


def test_a_sum_does_not_depend_on_how_many_are_counted_at_once() -> None:
    def error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs.sum(1) / 3

    at_once, one_by_one = Tally(error), Tally(error)
    total = other = 0.1
    for answers in steps():
        total = at_once.add(answers, total)
        other = one_by_one.settle(one_by_one.add(answers, other))
    assert at_once.settle(total) == other


def test_where_a_task_counts_nothing_the_sum_stays() -> None:
    assert Tally(None).settle(Tally(None).add(steps()[0], 0.0)) == 0.0
