"""Settings of a sweep: how values are parted, whose a key is, and what is refused."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest

from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.strategy import Strategy
from tlv.errors import UsageError
from tools.backtest.sweeps import read_sweep, read_sweeps, runs_of, share


class OtherParams(msgspec.Struct, frozen=True):
    """Parameters of another strategy."""

    min_net_wei: int = 0
    window: int = 5


class Other(Strategy):
    """Another strategy."""

    name: ClassVar[str] = "other"
    params: ClassVar[type[OtherParams]] = OtherParams


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1", ("1",)),
        ("a=1,2,3", ("1", "2", "3")),
        (" a = 1 , 2 ", ("1", "2")),
        ('a="x,y",z', ('"x,y"', "z")),
        ("a=[1,2],[3,4]", ("[1,2]", "[3,4]")),
        ("a={b=1,c=2},{b=2}", ("{b=1,c=2}", "{b=2}")),
        ("a=b=c,d", ("b=c", "d")),
    ],
)
def test_sweep_parts_values_at_commas_outside_of_brackets_and_quotes(text: str, values: tuple[str, ...]) -> None:
    assert read_sweep(text) == ("a", values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "expected key=a,b,c, found 'a'"),
        ("=1", "expected key=a,b,c"),
        ("a=", "expected a value between commas, found none"),
        ("a=1,,2", "expected a value between commas, found none"),
        ("a=1,2,1", "expected each value once, found '1' 2 times"),
    ],
)
def test_sweep_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_sweep(text)


@pytest.mark.parametrize(
    ("texts", "sets", "message"),
    [
        (["a=1,2", "a=3"], [], "expected each key once, found it 2 times"),
        (["a=1,2"], ["a=5"], "--sweep a: --set a sets it too"),
        (["other.a=1,2"], ["a=5"], "--sweep other.a: --set a sets it too"),
        (["a=1,2"], ["b=1", "other.a=5"], "--sweep a: --set other.a sets it too"),
        (["a=1,2", "other.a=5,6"], [], "--sweep other.a: --sweep a sets it too"),
        (["execute.delay_blocks=1,2"], ["execute.delay_blocks=3"], "--set execute.delay_blocks sets it too"),
        ([f"a={','.join(map(str, range(101)))}", f"b={','.join(map(str, range(100)))}"], [], "at most 10,000 runs"),
    ],
)
def test_sweeps_that_contradict_are_refused(texts: list[str], sets: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_sweeps(texts, sets, ["other", "another"])


def test_keys_of_different_owners_do_not_contradict() -> None:
    sweeps = read_sweeps(["other.a=1,2", "execute.a=3,4"], ["another.a=5", "b.a=6"], ["other", "another"])
    assert [sweep.key for sweep in sweeps] == ["other.a", "execute.a"]


def test_runs_are_every_combination_in_order() -> None:
    assert runs_of(read_sweeps(["a=1,2", "b=x,y"], [], [])) == [
        {"a": "1", "b": "x"},
        {"a": "1", "b": "y"},
        {"a": "2", "b": "x"},
        {"a": "2", "b": "y"},
    ]
    assert runs_of([]) == [{}]


def test_key_goes_to_whoever_has_it() -> None:
    both = [FlashArbitrage, Other]
    shares = share(both, ["min_net_wei=1", "window=2", "gross=true", "execute.delay_blocks=2", "other.min_net_wei=9"])
    assert shares.strategies == [["min_net_wei=1", "gross=true"], ["min_net_wei=1", "window=2", "min_net_wei=9"]]
    assert shares.executor == ["delay_blocks=2"]


def test_key_within_a_parameter_is_the_parameters() -> None:
    assert share([FlashArbitrage, Other], ["gas.tip_wei=1"]).strategies == [["gas.tip_wei=1"], []]
    assert share([Other], ["nobody=1"]).strategies == [["nobody=1"]]


def test_key_that_nobody_has_is_refused_with_what_may_be_meant() -> None:
    with pytest.raises(UsageError, match=r"parameter windo: no strategy has it; did you mean window\?"):
        share([FlashArbitrage, Other], ["windo=1"])
