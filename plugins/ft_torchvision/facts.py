"""What torchvision publishes of its networks, and which of them to begin with.

`python -m ft_torchvision.regenerate` writes the file beside this one anew from the installed torchvision.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from ft import ModelFacts

FACTS_FILE = Path(__file__).with_name("facts.json")

RECOMMENDED = {
    "mobilenet_v3_small": "small, and quick on a CPU: forward, 7 times resnet18's images a second, or more",
    "resnet18": "trains 1.8 to 2.8 times as fast in bf16, on a CPU that has it: no depthwise layers",
    "efficientnet_b3": "the most accurate of torchvision's below 2 GMACs; frozen, accuracy follows ImageNet's",
    "efficientnet_v2_s": "the most accurate of torchvision's below 10 GMACs",
}
"""Why: speeds are measured (docs/backbones.md), the rest follows from the facts; Kornblith et al. 2019 (1805.08974)."""


def facts(model_name: str) -> ModelFacts:
    """Parameters, multiply-adds and accuracy as published with the default weights."""
    return ModelFacts(**_read().get(model_name, {}), recommended=RECOMMENDED.get(model_name, ""))


@cache
def _read() -> dict[str, dict[str, Any]]:
    return dict(json.loads(FACTS_FILE.read_text(encoding="utf-8")))
