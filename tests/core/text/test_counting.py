"""Numbers of things in words that fit them."""

from __future__ import annotations

from ft.text.counting import number_of, with_article


def test_one_is_one_thing_and_any_other_number_more() -> None:
    assert [number_of(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [number_of(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]


def test_a_noun_has_the_article_that_it_is_said_with() -> None:
    said = [with_article(each) for each in ("int", "dict", "OrderedDict", "ndarray")]
    assert said == ["an int", "a dict", "an OrderedDict", "an ndarray"]
