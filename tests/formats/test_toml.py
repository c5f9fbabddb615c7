"""TOML that a stranger wrote takes no more memory than its length allows."""

from __future__ import annotations

import pytest

from securepip.formats.toml import MAX_NAMES, parse_toml


def key(name: str = "a", dot: str = ".") -> str:
    return dot.join([name] * (MAX_NAMES + 1))


LONG = key()
"""The standard library needs 4 GB for a key that is 300 times as long."""


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG} = 1",
        f"[{LONG}]",
        f"[[ {LONG} ]]",
        f"x = [{{ y = 1, {LONG} = 1 }}]",
        key(dot=" \t. ") + " = 1",
        key("'b.c'") + " = 1",
        key(r'"\""') + " = 1",
        # Where a string or a comment ends is what the parser says.
        f'x = """a""""\n{LONG} = 1',
        f'x = """a"""""\n{LONG} = 1',
        f"x = '''a'''''\n{LONG} = 1",
        f'x = """a\\""""\n{LONG} = 1',
        f'x = """\n" "" \\"""""\n{LONG} = 1',
        f"# it's\n{LONG} = 1",
        f"x = '\"' # \"\n{LONG} = 1",
        f'x = "\\\\"\n{LONG} = 1',
        f"x = 1 \r\n{LONG} = 1",
    ],
)
def test_a_key_that_would_take_all_memory_is_refused_before_it_is_parsed(text: str) -> None:
    with pytest.raises(ValueError, match="a key of more than 100 names"):
        parse_toml(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f'x = "{LONG}"', LONG),
        (f"x = '{LONG}'", LONG),
        (f'x = """\n{LONG} = "1" \\"""\n"""', f'{LONG} = "1" """\n'),
        (f"x = '''{LONG}'''", LONG),
        (f"x = 1 # {LONG}", 1),
        (f"x = [{'1.5, ' * 200}]", [1.5] * 200),
    ],
)
def test_texts_and_numbers_may_have_any_number_of_dots(text: str, value: object) -> None:
    assert parse_toml(text) == {"x": value}


def test_a_key_may_have_a_hundred_names() -> None:
    assert "a" in parse_toml(f"{LONG[2:]} = 1")


@pytest.mark.parametrize("text", ["x", f"x = '\n{LONG} = 1", f'x = "{LONG}', "x = " + "[" * 9_000])
def test_what_is_no_toml_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_toml(text)


def test_a_long_text_without_an_end_is_refused_at_once() -> None:
    for start in ('"', '"""', "'", "'''", '"\\'):
        with pytest.raises(ValueError):
            parse_toml(f"x = {start}" + '.\\"' * 20_000)
