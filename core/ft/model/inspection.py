"""What `ft models show` tells about a backbone, found out without fetching anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ft.extension.installed import Plugins, read_settings
from ft.model.backbone import construct
from ft.model.catalogue import find_model, weight_entries


def inspect_model(use: str, plugins: Plugins) -> dict[str, Any]:
    """Describe the backbone that `use` names: stages with their parameters, classifier, preprocessing, weights."""
    component, model_name = find_model(use, plugins)
    backbone = construct(component, model_name, read_settings(component, {}, "backbone"), seed=0, values=False)
    parameters = dict(backbone.module.named_parameters())
    stages = [
        {
            "name": stage.name,
            "paths": stage.paths,
            "numel": sum(parameters[name].numel() for name in names),
            "parameters": {name: tuple(parameters[name].shape) for name in names},
        }
        for stage in backbone.stages
        for names in [backbone.parameters_under(*stage.paths)]
    ]
    return {
        "name": f"{component.name}:{model_name}",
        "distribution": f"{component.distribution} {component.version}",
        "numel": sum(parameter.numel() for parameter in parameters.values()),
        "stages": stages,
        "head": {path: str(backbone.module.get_submodule(path)) for path in backbone.head_paths},
        "feature_dim": backbone.feature_dim,
        "image_size": {"min": backbone.min_image_size, "fixed": backbone.fixed_image_size},
        "preprocessing": asdict(backbone.preprocessing),
        "weights": [
            {**asdict(entry), "classes": len(entry.classes)} for entry in weight_entries(component, model_name)
        ],
    }
