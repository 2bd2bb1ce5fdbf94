"""Tasks: what a label is, and what is asked of the network."""

from __future__ import annotations

from collections.abc import Iterator

from ft import Figure, Task, hookimpl


@hookimpl
def ft_vision_tasks() -> Iterator[Task]:
    yield Task(
        "classification",
        "Each image is of one class",
        space="ft_tasks.classification:space",
        encode="ft_tasks.classification:encode",
        loss="ft_tasks.cross_entropy:make_loss",
        meter="ft_tasks.class_figures:ClassMeter",
        predict="ft_tasks.class_answers:predict",
        figures=(
            Figure("accuracy", "accuracy", ".1%", of_images=True),
            Figure("macro_f1", "macro F1", ".3f"),
        ),
        settings="ft_tasks.classification:ClassificationSettings",
        strata="ft_tasks.classification:strata",
        remarks="ft_tasks.classification:remarks",
        tally="ft_tasks.class_figures:right",
        tally_name="accuracy",
        shares="ft_tasks.classification:shares",
        example=("cat", "dog", "bird", "cat", "dog", "cat"),
    )
