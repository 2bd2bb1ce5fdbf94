"""The part of the config that says how the trainable layers are trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ft.extension.settings import Section

_USUAL = {
    "adamw": {"lr": 0.0001, "head_lr": 0.001, "weight_decay": 0.01},
    "sgd": {"lr": 0.001, "head_lr": 0.01, "weight_decay": 0.0001},  # He et al. 2016, section 3.4, for the decay
}


def derived(training: Mapping[str, Any]) -> dict[str, Any]:
    """The learning rates and the weight decay that a training section amounts to.

    The head has a rate of its own, as what is new takes larger steps than what is pretrained; `lr` raises it, where
    that is larger, and never lowers it. So whoever types a default changes nothing.
    """
    usual = _USUAL.get(str(training.get("optimizer")), _USUAL["adamw"])
    given = {name: training[name] for name in usual if training.get(name) is not None}
    lr = given.get("lr")
    head_lr = max(lr, usual["head_lr"]) if isinstance(lr, int | float) else usual["head_lr"]
    return {**usual, "head_lr": head_lr, **given}


class TrainingConfig(Section):
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(32, ge=1)
    optimizer: Literal["adamw", "sgd", "lbfgs"] = Field(
        "adamw", description="AdamW; SGD with Nesterov momentum; L-BFGS for a linear head on features computed once"
    )
    penalties: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        tuple(10.0**-power for power in range(1, 7)),
        min_length=1,
        description="for lbfgs: weight penalties to choose from",
    )
    lr: float | None = Field(None, gt=0, description="peak learning rate; default: 0.0001 for adamw, 0.001 for sgd")
    head_lr: float | None = Field(
        None, gt=0, description="the head's own; default: 0.001 for adamw, 0.01 for sgd, or lr if that is larger"
    )
    lr_decay: float = Field(
        1.0, gt=0, le=1, description="factor by which each stage further from the head learns slower"
    )
    weight_decay: float | None = Field(
        None,
        ge=0,
        description="of weights that multiply, not of biases, normalisation and embeddings; "
        "default: 0.01 for adamw, 0.0001 for sgd",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="for sgd (Nesterov)")
    warmup_epochs: float = Field(1.0, ge=0, description="linear warm-up before the cosine")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    mixup: float = Field(
        0.0, ge=0, description="blend pairs of images and labels, shares from Beta(this, this); 0.2 is usual"
    )
    class_weights: Literal["none", "balanced"] = Field("none", description="balanced: rare classes weigh more")
    clip_norm: float | None = Field(None, gt=0, description="largest norm of all gradients together")
    auto_batch: bool = Field(False, description="when memory runs out, compute a batch in parts and add up gradients")
    patience: int | None = Field(
        None,
        ge=1,
        description="stop after so many epochs in which neither that figure nor the loss got better",
    )
    monitor: Literal["accuracy", "macro_f1", "loss"] = Field(
        "accuracy", description="what 'best' means; of equals, the lower loss"
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        """A resolved config says what follows from the rest."""
        return {**values, **derived(values)} if isinstance(values, dict) else values
