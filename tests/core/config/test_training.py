"""How to train, where nobody says it."""

from __future__ import annotations

from hypothesis import given, strategies as st

from ft.config.training import FEWEST_STEPS, MOST_EPOCHS, USUAL_EPOCHS, TrainingConfig


@given(images=st.integers(1, 10**6), batch_size=st.integers(1, 1024))
def test_few_images_are_seen_more_often_until_the_steps_are_enough(images: int, batch_size: int) -> None:
    epochs = TrainingConfig(batch_size=batch_size).of_images(images).passes
    steps = -(-images // batch_size)
    assert USUAL_EPOCHS <= epochs <= MOST_EPOCHS
    assert epochs * steps >= FEWEST_STEPS or epochs == MOST_EPOCHS
    assert epochs == USUAL_EPOCHS or (epochs - 1) * steps < FEWEST_STEPS


@given(st.integers(1, 100), st.integers(1, 10**6))
def test_a_number_of_epochs_that_is_given_stays(epochs: int, images: int) -> None:
    assert TrainingConfig(epochs=epochs).of_images(images).passes == epochs
