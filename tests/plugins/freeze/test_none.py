import pytest

from backbones import small
from ft import FtError, Settings
from ft_freeze.none import select


def test_nothing_is_frozen() -> None:
    assert select(small(), None, Settings()) == frozenset()


@pytest.mark.parametrize("argument", ["", "layer1"])
def test_an_argument_is_an_error(argument: str) -> None:
    with pytest.raises(FtError, match=f"'none' takes no argument, but got '{argument}'"):
        select(small(), argument, Settings())
