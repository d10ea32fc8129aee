import pytest

from server.cli.console import CommandError
from server.cli.typed import named_values, pair, sides


def test_sides_and_pairs_are_read_as_they_are_typed() -> None:
    assert sides("--outpaint", "left=0.5, bottom=1") == {"left": 0.5, "bottom": 1.0}
    assert pair("--target-size", "1024,768") == (1024, 768)
    assert sides("--outpaint", None) is None
    assert pair("--target-size", None) is None


@pytest.mark.parametrize("text", ["", "left", "left=", "left=wide", "up=1", "left=1;right=1"])
def test_a_side_that_is_none_names_the_option_and_the_form(text: str) -> None:
    with pytest.raises(CommandError, match=r"--outpaint: .*write left=0.5,right=0.5"):
        sides("--outpaint", text)


@pytest.mark.parametrize("text", ["", "1024", "1024x768", "a,b", "1,2,3"])
def test_a_pair_that_is_none_names_the_option_and_the_form(text: str) -> None:
    with pytest.raises(CommandError, match=r"--target-size: .*write 1024,768"):
        pair("--target-size", text)


def test_options_are_read_as_numbers_where_they_are_some() -> None:
    typed = ["quality=high", "steps=4", "temperature=0.5", "note=a=b"]
    read = {"quality": "high", "steps": 4, "temperature": 0.5, "note": "a=b"}
    assert named_values("--option", typed) == read


@pytest.mark.parametrize("typed", ["quality", "=high", "quality="])
def test_an_option_without_name_or_value_is_refused(typed: str) -> None:
    with pytest.raises(CommandError, match="write quality=high"):
        named_values("--option", [typed])
