"""The part of the config that says how the trainable layers are trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PrivateAttr

from ft.config.component import ComponentConfig
from ft.extension.extensions import Optimizer
from ft.extension.settings import Section

OF_STEPS = (
    *("lr", "head_lr", "lr_decay", "weight_decay", "clip_norm", "warmup_epochs", "epochs"),
    *("patience", "auto_batch"),
)
"""Keys without effect where no steps are taken."""
OF_ONE_HEAD = ("lr", "head_lr", "lr_decay", "weight_decay", "auto_batch")
"""Keys without effect where many heads train side by side, each with rates of its own."""


def idle_with(optimizer: Optimizer) -> tuple[str, ...]:
    """The keys of `training` without effect with an optimizer."""
    if optimizer.solves:
        return OF_STEPS
    return OF_ONE_HEAD if optimizer.candidates is not None else ()


USUAL_EPOCHS, FEWEST_STEPS, MOST_EPOCHS = 10, 100, 50
"""So many epochs where nobody says a number; of few images as many as take so many steps, but no more than the last."""

BLENDS = ("mixup", "cutmix", "manifold_mixup")
"""Keys of what blends pairs of images."""


def _of_beta(value: float) -> float:
    if value and not 1e-3 <= value <= 1e3:
        raise ValueError("it is 0, for none, or a number from 0.001 to 1000")
    return value


BetaParameter = Annotated[float, AfterValidator(_of_beta)]
"""Both parameters of the Beta distribution that shares are drawn from, which torch can draw from; or 0."""


class TrainingConfig(Section):
    epochs: int | None = Field(
        None, ge=1, description="passes over the training images; default: 10, or as many as take 100 steps, up to 50"
    )
    batch_size: int = Field(32, ge=1)
    optimizer: ComponentConfig = Field(
        ComponentConfig(use="adamw"), examples=["sgd"], description="an optimizer, with its settings"
    )
    penalties: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        tuple(10.0**-power for power in range(1, 7)),
        min_length=1,
        description="older name of training.optimizer.penalties: for lbfgs, weight penalties to choose from",
    )
    lr: float | None = Field(
        None, gt=0, description="peak learning rate; default: the optimizer's, 0.0001 for adamw, 0.001 for sgd"
    )
    head_lr: float | None = Field(
        None,
        gt=0,
        description="the head's own; default: the optimizer's, 0.001 for adamw, 0.01 for sgd, or lr if that is larger",
    )
    lr_decay: float = Field(
        1.0, gt=0, le=1, description="factor by which each stage further from the head learns slower"
    )
    weight_decay: float | None = Field(
        None,
        ge=0,
        description="of weights that multiply, not of biases, normalisation and embeddings; "
        "default: the optimizer's, 0.01 for adamw, 0.0001 for sgd",
    )
    momentum: float = Field(
        0.9, ge=0, lt=1, description="older name of training.optimizer.momentum: for sgd (Nesterov)"
    )
    warmup_epochs: float = Field(1.0, ge=0, le=1e6, description="linear warm-up before the cosine")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="older name of task.label_smoothing")
    mixup: BetaParameter = Field(
        0.0, description="blend pairs of images and labels, shares from Beta(this, this); 0.2 is usual"
    )
    cutmix: BetaParameter = Field(
        0.0,
        description="paste a box of one image into another and blend labels by area, Beta(this, this); 1 is usual; "
        "beside mixup, each has half of the steps",
    )
    manifold_mixup: BetaParameter = Field(
        0.0,
        description="blend pairs where the frozen prefix ends, not as images, so that it is computed once all the "
        "same; shares from Beta(this, this)",
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="validate and save an exponential moving average of the weights over steps, with this decay; "
        "0.999 is usual",
    )
    swa: int | None = Field(
        None,
        ge=2,
        description="average the weights at the ends of the last so many epochs, in which the rates stay level (SWA), "
        "and save the average if it is better",
    )
    soup: int | None = Field(
        None,
        ge=2,
        description="average those of the best so many epochs that make the average better (greedy soup), and save it "
        "if it is better",
    )
    class_weights: Literal["none", "balanced"] = Field("none", description="older name of task.class_weights")
    clip_norm: float | None = Field(None, gt=0, description="largest norm of all gradients together")
    auto_batch: bool = Field(False, description="when memory runs out, compute a batch in parts and add up gradients")
    patience: int | None = Field(
        None,
        ge=1,
        description="stop after so many epochs in which neither that figure nor the loss got better",
    )
    monitor: str | None = Field(
        None,
        examples=["loss"],
        description="figure that says which epoch is the best; of equals, the lower loss; default: the task's first, "
        "accuracy for classification",
    )

    derived: tuple[Literal["lr", "head_lr", "weight_decay"], ...] = Field(
        (), description="in a run's config: which of these follow from the optimizer, or from lr"
    )
    _solves: bool = PrivateAttr(False)
    _fits_heads: bool = PrivateAttr(False)

    @property
    def solves(self) -> bool:
        """Whether the optimizer solves for a linear head at once, instead of taking steps; known once it is found."""
        return self._solves

    @property
    def fits_heads(self) -> bool:
        """Whether the optimizer fits linear heads to kept features and trains nothing else, be it at once or many of
        them side by side; known once it is found."""
        return self._fits_heads

    def of_images(self, count: int) -> TrainingConfig:
        """The same with the number of epochs that nobody gives: ten passes over a few images are too few steps."""
        if self.epochs is not None:
            return self
        steps = max(1, -(-count // self.batch_size))
        epochs = max(USUAL_EPOCHS, min(MOST_EPOCHS, -(-FEWEST_STEPS // steps)))
        found = self.model_copy(update={"epochs": epochs})
        found._solves, found._fits_heads = self._solves, self._fits_heads
        return found

    @property
    def passes(self) -> int:
        """The number of epochs; known once there are images."""
        assert self.epochs is not None, "opening a run resolves the number of epochs"
        return self.epochs

    def of(self, optimizer: Optimizer) -> TrainingConfig:
        """The same with all that follows from the optimizer filled in: the rates and the decay that nobody gives.

        The head has a rate of its own, as what is new takes larger steps than what is pretrained; `lr` raises it, where
        that is larger, and never lowers it.
        """
        usual = {
            "lr": optimizer.lr,
            "head_lr": optimizer.head_lr if self.lr is None else max(self.lr, optimizer.head_lr),
            "weight_decay": optimizer.weight_decay,
        }
        open_ = {name: value for name, value in usual.items() if getattr(self, name) is None}
        derived = tuple(name for name in usual if name in open_ or name in self.derived)
        found = self.model_copy(update={**open_, "derived": derived})
        found._solves = optimizer.solves
        found._fits_heads = optimizer.solves or optimizer.candidates is not None
        return found

    def underived(self) -> TrainingConfig:
        """The same without what followed from the optimizer, so that it may follow from another."""
        found = self.model_copy(update={**dict.fromkeys(self.derived), "derived": ()})
        found._solves, found._fits_heads = self._solves, self._fits_heads
        return found

    def monitoring(self, figure: str) -> TrainingConfig:
        """The same with the figure by which epochs are compared."""
        found = self.model_copy(update={"monitor": figure})
        found._solves, found._fits_heads = self._solves, self._fits_heads
        return found


def changed(training: TrainingConfig, names: Sequence[str]) -> list[str]:
    """Those of the named keys that are not as they are where nobody says anything."""
    usual = type(training).model_fields
    return [name for name in names if getattr(training, name) != usual[name].default]
