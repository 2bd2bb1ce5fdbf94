import pytest

from backbones import mixed_classifier, resnet18, small
from ft import Backbone, FtError, Settings
from ft_freeze.regex import select


def regex(pattern: str | None, backbone: Backbone | None = None) -> frozenset[str]:
    return select(backbone or small(), pattern, Settings())


def mistake(pattern: str | None, backbone: Backbone | None = None) -> str:
    with pytest.raises(FtError) as error:
        regex(pattern, backbone)
    return str(error.value)


def test_parameter_names_are_matched_whole() -> None:
    assert regex(r"stem\.1\..*") == {"stem.1.weight", "stem.1.bias"}
    assert regex("scale") == {"scale"}
    assert regex(r"stem.*\.weight") == {"stem.0.weight", "stem.1.weight"}


def test_matching_a_module_freezes_all_inside_it() -> None:
    assert regex("layer1") == {"layer1.0.weight", "layer1.0.bias", "layer1.1.weight", "layer1.1.bias"}
    assert regex(r"layer\d\.0") == {"layer1.0.weight", "layer1.0.bias", "layer2.0.weight", "layer2.0.bias"}


def test_a_module_does_not_stand_for_others_that_begin_alike() -> None:
    names = regex("layer1", resnet18())
    assert len(names) == 12
    assert all(name.startswith("layer1.") for name in names)


def test_a_pattern_may_use_alternatives() -> None:
    assert regex("stem|scale") == {"scale", "stem.0.weight", "stem.1.weight", "stem.1.bias"}


def test_the_head_is_left_to_the_core() -> None:
    assert "classifier.3.weight" in regex("classifier", mixed_classifier())


def test_the_exact_names_of_a_layer_of_resnet18() -> None:
    assert regex(r"layer4\.1\.(conv|bn)\d", resnet18()) == {
        "layer4.1.conv1.weight",
        "layer4.1.bn1.weight",
        "layer4.1.bn1.bias",
        "layer4.1.conv2.weight",
        "layer4.1.bn2.weight",
        "layer4.1.bn2.bias",
    }


def test_a_pattern_that_matches_nothing_shows_a_name_like_it() -> None:
    assert mistake("^layr1", resnet18()) == (
        "pattern '^layr1' matches no parameter of resnet18; names look like 'layer1.0.conv1.weight'"
    )
    assert mistake(r"layr4\.1.*", resnet18()).endswith("names look like 'layer4.1.conv1.weight'")


def test_a_pattern_near_to_nothing_shows_any_name() -> None:
    assert mistake("features.*", resnet18()).endswith("names look like 'conv1.weight'")


def test_a_pattern_that_matches_only_inside_names_is_told_how_to_match_them() -> None:
    message = mistake("ayer1")
    assert message == (
        "pattern 'ayer1' matches no parameter of small; it matches only a part of 'layer1.0.weight', and the whole "
        "name has to match: 'regex:.*(ayer1).*'"
    )
    assert regex(".*(ayer1).*") == regex("layer1")


def test_what_is_no_regular_expression_is_told_with_the_position() -> None:
    assert mistake("layer[1") == (
        "pattern 'layer[1' is no regular expression: unterminated character set at position 5"
    )
    assert mistake("a{99999999999999999999}").startswith("pattern 'a{99999999999999999999}' is no regular expression")


@pytest.mark.parametrize("pattern", [None, ""])
def test_a_pattern_is_needed(pattern: str | None) -> None:
    assert mistake(pattern) == "regex needs a pattern, as in 'regex:features.*'"
