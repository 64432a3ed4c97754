"""Every numeric option has a range, from one table; whatever is typed ends in a result or in one line."""

from __future__ import annotations

import argparse
import math
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plusx.cli import ranges
from plusx.cli.batch import read_shard
from plusx.cli.main import COMMANDS, main, make_parser
from plusx.cli.networks import read_size
from plusx.cli.ranges import RANGES, whole_number
from plusx.cli.weights import SUBCOMMANDS
from plusx.data.permutation import permutation
from plusx.errors import PlusxError, SpecError
from plusx.i18n import _
from plusx.specs import parse
from plusx.training.recipe import parse_recipe

EVERY = [*(name for name in COMMANDS if name != "weights"), *(f"weights {way}" for way in SUBCOMMANDS)]
HOSTILE = (
    "0", "-1", "+1", "1", "007", "1e3", "1e308", "1e-320", "-0.0", "inf", "-inf", "nan", "²", "٣", "½", "1_000", "", " ",
    "0x10", "1" * 400, "9" * 5000, str(2**63), str(2**63 - 1), str(2**90), str(-(2**90)), "1000000000000", "1/2", "%s", "{x}", "\x1b[31m", "\udce9",
)  # fmt: skip


def numeric(name: str) -> list[argparse.Action]:
    return [action for action in make_parser(name)._actions if action.type in (int, float)]


def with_required(name: str) -> list[str]:
    """The words that a command can't do without, none of which is read by its parser."""
    needed = [action for action in make_parser(name)._actions if action.required]
    return [f"{a.option_strings[-1]}=x" if a.option_strings else "x" for a in needed]


def test_every_numeric_option_has_a_range_and_no_range_is_idle():
    used = {option for name in EVERY for action in numeric(name) for option in action.option_strings}
    assert used == set(RANGES)


@pytest.mark.parametrize("name", EVERY)
def test_defaults_lie_in_their_ranges_and_help_states_them(name):
    text = re.sub(r"\s+", " ", make_parser(name).format_help())
    for action in numeric(name):
        numbers = RANGES[action.option_strings[-1]]
        assert numbers.whole == (action.type is int)
        assert action.default is None or numbers.holds(action.default)
        assert f"; {numbers.text}" in text


@pytest.mark.parametrize("name", [name for name in EVERY if numeric(name)])
@pytest.mark.parametrize("word", HOSTILE)
def test_a_hostile_number_is_taken_inside_its_range_or_refused_in_one_line(name, word):
    for action in numeric(name):
        option = action.option_strings[-1]
        try:
            args = make_parser(name).read([*with_required(name), f"{option}={word}"])
        except SpecError as error:
            assert str(error).startswith(f"{option} takes a ") and str(error).isprintable()
        else:
            value = getattr(args, action.dest)
            assert math.isfinite(value) and RANGES[option].holds(value)


@pytest.mark.parametrize(
    ("option", "inside", "outside"),
    [
        ("--seed", "9223372036854775807", "9223372036854775808"), ("--threads", "1024", "1025"), ("--workers", "0", "-1"),
        ("--val-split", "0.999", "1"), ("--val-split", "1e-9", "0"), ("--threshold", "1", "1.0000001"),
        ("--minutes", "1000000", "inf"), ("--top", "1", "0"), ("--accept-drop", "0", "1"),
    ],
)  # fmt: skip
def test_the_ends_of_ranges(option, inside, outside):
    assert RANGES[option].read(inside) is not None and RANGES[option].read(outside) is None


def test_a_seed_of_the_table_is_one_that_permutations_tell_apart():
    """2^64 would be seed 0 again: they are counters of 64 bits."""
    assert permutation(50, ranges.MAX_SEED, 0).tolist() != permutation(50, 0, 0).tolist()
    assert permutation(50, 1 << 64, 0).tolist() == permutation(50, 0, 0).tolist()


@pytest.mark.parametrize(
    "word", ["1/1" + "0" * 30, "0/3", "4/3", "²/3", "1/", "/", "1/2/3", "-1/2", "1/1" + "0" * 5000]
)
def test_shards_that_are_none(word):
    with pytest.raises(SpecError, match="is not I/N"):
        read_shard(word)


def test_shards():
    assert read_shard("3/8") == (3, 8)


@pytest.mark.parametrize("word", ["²", "224x²", "9" * 5000, "1x2x3", "x", "-1", "0", "1000001", "224x"])
def test_sizes_that_are_none(word):
    with pytest.raises(PlusxError, match="is not a size"):
        read_size(word)


@given(st.text(max_size=30))
@settings(max_examples=300, deadline=None)
def test_whole_numbers_are_those_of_int(text):
    found = whole_number(text)
    if found is not None:
        assert int(text) == found and abs(found) <= ranges.MANY


# ---- whole command lines: no traceback, whatever is typed ----


def words_of(name: str) -> st.SearchStrategy[list[str]]:
    options = [a for a in make_parser(name)._actions if a.option_strings and a.dest not in ("help", "debug", "lang")]
    value = st.one_of(
        st.sampled_from(HOSTILE), st.text(max_size=12), st.integers().map(str), st.floats().map(str),
        st.sampled_from(["nowhere/at/all", "resnet18", "digits epochs=²", "shift=1000000000", "lr=1e300", "~nosuchuser/x", "**", "a" * 5000]),
    )  # fmt: skip
    clean = value.map(lambda text: text.replace("\0", ""))
    one = st.sampled_from(options).flatmap(
        lambda a: (
            st.just([a.option_strings[-1]]) if a.nargs == 0 else clean.map(lambda v: [f"{a.option_strings[-1]}={v}"])
        )
    )
    return st.tuples(st.lists(clean, max_size=3), st.lists(one, max_size=4)).map(
        lambda pair: [*name.split(), *pair[0], *(word for words in pair[1] for word in words)]
    )


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A working directory without anything, so that each command ends at its first input; nothing is trained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLUSX_OFFLINE", "1")
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("plusx.training.api.fit", _nothing)


def _nothing(network: object, data: object, recipe: object, *_rest: object, **_more: object) -> list[object]:
    if isinstance(network, str):
        parse(network)
    parse_recipe(str(recipe or ""), "default")
    raise SpecError(_("stopped here"))


def check_lines(name, capsys, examples):
    @given(words_of(name))
    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        database=None,
    )
    def holds(words):
        try:
            code = main(words)
        except SystemExit as ended:  # --help
            code = ended.code
        said = capsys.readouterr()
        assert code in (0, 1, 2, 3), words
        if code:
            last = said.err.rstrip("\n").rsplit("\n", 1)[-1]
            assert last.startswith("plusx: "), (words, said.err[-300:])

    holds()


COMMANDS_WITH_INPUT = [name for name in EVERY if name not in ("doctor", "explore", "weights fetch")]
"""All but doctor, which takes nothing and measures the machine, explore, which would serve a page (tests/explorer), and the
download of weights (tests/weights/hub)."""


@pytest.mark.parametrize("name", COMMANDS_WITH_INPUT)
def test_no_command_line_ends_in_a_traceback(name, nowhere, capsys):
    check_lines(name, capsys, 20)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS_WITH_INPUT)
def test_none_of_five_thousand_command_lines_ends_in_a_traceback(name, nowhere, capsys):
    check_lines(name, capsys, 250)
