import pytest

from backbones import SMALL_NAMES, small
from ft import FtError, Settings
from ft_freeze.all import select


def test_everything_outside_the_head_is_frozen() -> None:
    assert select(small(), None, Settings()) == set(SMALL_NAMES)


@pytest.mark.parametrize("argument", ["", "layer1"])
def test_an_argument_is_an_error(argument: str) -> None:
    with pytest.raises(FtError, match=f"'all' takes no argument, but got '{argument}'"):
        select(small(), argument, Settings())
