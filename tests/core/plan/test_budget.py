"""What of a run fits into a time."""

from __future__ import annotations

from hypothesis import given, strategies as st

from ft.plan.budget import Clock, Takes, fitting

PHASES = st.lists(
    st.builds(
        Takes,
        once=st.floats(0, 100),
        epoch=st.floats(0.01, 100),
        epochs=st.integers(1, 30),
        solves=st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


def total(phases: list[Takes], epochs: list[int]) -> float:
    return sum(each.once + each.epoch * left for each, left in zip(phases, epochs, strict=True) if left)


@given(PHASES, st.floats(0, 5000))
def test_what_is_left_fits_and_nothing_is_cut_that_fits(phases: list[Takes], seconds: float) -> None:
    epochs = fitting(phases, seconds)
    assert total(phases, epochs) <= seconds * (1 + 1e-9)
    assert all(0 <= left <= each.epochs for each, left in zip(phases, epochs, strict=True))
    assert all(left in (0, each.epochs) for each, left in zip(phases, epochs, strict=True) if each.solves)
    if sum(each.all for each in phases) <= seconds:
        assert epochs == [each.epochs for each in phases]
    if not any(epochs):
        assert next((each for each in phases if each.solves), phases[0]).least > seconds


@given(PHASES, st.floats(0, 5000), st.floats(0, 500))
def test_more_time_never_leaves_more_out(phases: list[Takes], seconds: float, more: float) -> None:
    def left(seconds: float) -> int:
        return sum(map(bool, fitting(phases, seconds)))

    assert left(seconds) <= left(seconds + more)


def test_epochs_are_cut_by_the_same_share_then_the_last_phases_go_and_the_solved_head_last() -> None:
    phases = [Takes(10, 0.5, 6, solves=True), Takes(0, 1, 4), Takes(20, 2, 10)]
    assert fitting(phases, 57) == [6, 4, 10]
    assert fitting(phases, 45) == [6, 2, 5]
    assert fitting(phases, 36) == [6, 1, 1]
    assert fitting(phases, 35) == [6, 4, 0]
    assert fitting(phases, 14) == [6, 1, 0]
    assert fitting(phases, 13) == [6, 0, 0]
    assert fitting(phases, 12) == [0, 0, 0]


def test_a_phase_ends_by_when_those_after_it_have_what_they_take() -> None:
    clock = Clock(100.0, 60.0, 5.0, (Takes(10, 1, 5), Takes(4, 2, 3)))
    assert (clock.ends_by(1), clock.ends_by(2)) == (145.0, 155.0)
