"""The part of the config that says which images validate, and which are kept for a test."""

from __future__ import annotations

from pydantic import Field, model_validator

from ft.extension.settings import Section


class SplitConfig(Section):
    val: float = Field(0.2, gt=0, lt=1, description="share of the training images kept for validation, if none are")
    test: float = Field(0.0, ge=0, lt=1, description="share kept for a final test, if the data has no test split")
    seed: int = Field(0, description="seed of the stratified split; independent of the training seed")
    group: str | None = Field(
        None,
        min_length=1,
        examples=["patient"],
        description="column of the data whose values are never torn apart, as patient or video; default: none",
    )
    folds: int | None = Field(
        None, ge=2, le=1000, description="cross-validation: so many runs, each image validating in one of them"
    )
    fold: int | None = Field(None, ge=1, description="the one fold to run, from 1; default: all, one after the other")

    @model_validator(mode="after")
    def _leaves_some(self) -> SplitConfig:
        if self.val + self.test >= 1:
            raise ValueError(f"val {self.val} and test {self.test} leave nothing to train on")
        if self.fold is not None and self.folds is None:
            raise ValueError(f"fold {self.fold} of how many? Give folds, too, as in --folds 5 --fold {self.fold}")
        if self.fold is not None and self.folds is not None and self.fold > self.folds:
            raise ValueError(f"there is no fold {self.fold} of {self.folds}; they are numbered from 1 to {self.folds}")
        if self.folds is not None and self.val != SplitConfig.model_fields["val"].default:
            raise ValueError(
                f"each of {self.folds} folds validates on a share of 1/{self.folds}, not of {self.val}; leave out "
                "folds, or val (--val-fraction)"
            )
        return self

    def of_new_images(self) -> SplitConfig:
        """How images are split that a run did not have: a share of them validates, and nothing groups them."""
        val = self.val if self.folds is None else 1 / self.folds
        return self.model_copy(update={"val": val, "group": None, "folds": None, "fold": None})
