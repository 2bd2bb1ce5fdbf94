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
        extend="ft_tasks.classification:extend",
        loss="ft_tasks.cross_entropy:make_loss",
        meter="ft_tasks.class_figures:ClassMeter",
        predict="ft_tasks.class_outputs:predict",
        figures=(
            Figure("accuracy", "accuracy", ".1%", of_images=True),
            Figure("macro_f1", "macro F1", ".3f", short="F1"),
        ),
        settings="ft_tasks.classification:ClassificationSettings",
        strata="ft_tasks.classification:strata",
        remarks="ft_tasks.classification:remarks",
        tally="ft_tasks.class_figures:right",
        tally_name="accuracy",
        shares="ft_tasks.classification:shares",
        calibrate="ft_tasks.temperature:calibrate",
        sections="ft_tasks.class_sections:sections",
        guess="ft_tasks.class_sections:guess",
        readout="ft_tasks.class_outputs:readout",
        readout_name="probabilities",
        outputs_name="logits",
        answers="ft_tasks.class_answers:answers",
        pipeline_tag="image-classification",
        uncertainty="ft_tasks.class_outputs:uncertainty",
        average="ft_tasks.class_outputs:average",
        picks_largest=True,
        labels=("cat", "dog", "bird", "cat", "dog", "cat"),
    )
    yield Task(
        "multilabel",
        "Each image has any number of labels, or none",
        space="ft_tasks.multilabel:space",
        encode="ft_tasks.multilabel:encode",
        extend="ft_tasks.multilabel:extend",
        loss="ft_tasks.multilabel_loss:make_loss",
        meter="ft_tasks.multilabel_figures:MultilabelMeter",
        predict="ft_tasks.multilabel_outputs:predict",
        figures=(
            Figure("mean_average_precision", "mean average precision", short="mAP"),
            Figure("macro_f1", "macro F1", short="F1"),
            Figure("micro_f1", "micro F1"),
        ),
        settings="ft_tasks.multilabel:MultilabelSettings",
        strata="ft_tasks.multilabel:strata",
        remarks="ft_tasks.multilabel_remarks:remarks",
        tally="ft_tasks.multilabel_loss:tally",
        tally_name="label_accuracy",
        calibrate="ft_tasks.multilabel_figures:calibrate",
        sections="ft_tasks.multilabel_sections:sections",
        guess="ft_tasks.multilabel_sections:guess",
        readout="ft_tasks.multilabel_outputs:readout",
        readout_name="probabilities",
        outputs_name="logits",
        answers="ft_tasks.multilabel_answers:answers",
        pipeline_tag="image-classification",
        uncertainty="ft_tasks.multilabel_outputs:uncertainty",
        average="ft_tasks.multilabel_outputs:average",
        noun=("label", "labels"),
        labels=("crack;dirt", "", "crack", "snow;dirt", "crack;snow", "snow"),
    )
    yield Task(
        "regression",
        "Each image has a number, or several",
        space="ft_tasks.regression:space",
        encode="ft_tasks.regression:encode",
        extend="ft_tasks.regression:extend",
        loss="ft_tasks.regression_loss:make_loss",
        meter="ft_tasks.regression_figures:RegressionMeter",
        predict="ft_tasks.regression_outputs:predict",
        figures=(
            Figure("mae", "MAE", ".4g", larger_is_better=False),
            Figure("rmse", "RMSE", ".4g", larger_is_better=False),
            Figure("r2", "R²", ".3f"),
        ),
        settings="ft_tasks.regression:RegressionSettings",
        strata="ft_tasks.regression:strata",
        remarks="ft_tasks.regression_remarks:remarks",
        tally="ft_tasks.regression_loss:tally",
        tally_name="mae",
        sections="ft_tasks.regression_sections:sections",
        guess="ft_tasks.regression_sections:guess",
        readout="ft_tasks.regression_outputs:readout",
        readout_name="values",
        answers="ft_tasks.regression_answers:answers",
        noun=("target", "targets"),
        stratum="range of numbers",
        labels=("1.5", "2", "0.25", "-3", "2.5", "1e1"),
    )
