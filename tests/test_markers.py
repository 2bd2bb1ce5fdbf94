"""What `make quick` leaves out is marked by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest


def marks(request: pytest.FixtureRequest) -> set[str]:
    return {mark.name for mark in request.node.iter_markers()}


def test_a_test_that_computes_no_network_is_quick(request: pytest.FixtureRequest) -> None:
    assert not {"trains", "faults", "slow"} & marks(request)


def test_a_test_with_a_config_to_train_is_not(request: pytest.FixtureRequest, tiny_config: Callable[..., Any]) -> None:
    assert "trains" in marks(request)


def test_nor_is_one_that_starts_a_process_in_a_function_of_its_own(request: pytest.FixtureRequest) -> None:
    def never_called() -> None:
        subprocess.run(["ft"], check=True)

    assert "trains" in marks(request)


def test_nor_one_that_types_a_run(request: pytest.FixtureRequest, ft: Callable[..., Any]) -> None:
    assert "--epochs" in ft("run", "--help").output
    assert "trains" in marks(request)
