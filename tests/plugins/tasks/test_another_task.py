"""Names of classes that may be meant for another task"""

from __future__ import annotations

import pytest

from ft_tasks.another_task import another_task


@pytest.mark.parametrize(
    ("names", "images", "hint"),
    [
        (
            ["cat", "cat|dog", "dog"],
            9,
            "Labels as 'cat|dog' look like several in one: if they are, use --task multilabel",
        ),
        (["a", "a;b", "b"], 9, "Labels as 'a;b' look like several in one"),
        (["a;b", "c;d", "e"], 9, "Labels as 'a;b' look like several"),
        (["['a', 'b']", "['a']", "['b']"], 9, "Labels as '['a', 'b']' look like several"),
        ([f"{number / 7:.3f}" for number in range(100)], 1000, "The labels are 100 different numbers: if they are"),
        ([str(number) for number in range(100)], 150, "The labels are 100 different numbers"),
        (["cat, siamese", "cat, tabby", "dog"], 9, ""),
        (["jay", "maillot", "maillot, tank suit", "tench, Tinca tinca"], 9, ""),
        (["a|b", "c|d"], 9, ""),
        ([str(number) for number in range(50)], 500, ""),
        (["1", "2", "3"], 3, ""),
        (["nan"], 50, ""),
    ],
)
def test_labels_that_may_be_meant_for_another_task_are_doubted(names: list[str], images: int, hint: str) -> None:
    found = another_task(names, images)
    assert bool(found) == bool(hint)
    assert found.startswith(hint)


def test_what_stands_between_labels_is_said_where_it_is_not_the_usual() -> None:
    assert another_task(["a", "a|b", "b"]).endswith("use --task multilabel --set 'task.separator=|'")
    assert another_task(["a", "a;b", "b"]).endswith("use --task multilabel")
