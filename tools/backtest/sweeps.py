"""`--set` and `--sweep`: which run gets which settings.

Owns how a sweep is written, and whose a key is: `execute.KEY` is the executor's, `NAME.KEY` that of the strategy of
this name, and KEY alone that of every strategy that declares it.  What a value means is
`consumers.parameters`'s matter.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from consumers.loading import AnyStrategy
from consumers.parameters import split_set
from tlv.errors import UsageError
from tlv.nearest import did_you_mean, there_are

EXECUTE = "execute"
MOST_RUNS = 10_000
"""More is a mistake: a comma too many, or a search that wants another method than trying everything."""
OPENING, CLOSING, QUOTES = "[{(", "]})", "\"'"


class Sweep(NamedTuple):
    """A key and the values that are tried."""

    key: str
    values: tuple[str, ...]


def read_sweeps(texts: Sequence[str], sets: Sequence[str], names: Sequence[str]) -> list[Sweep]:
    """The sweeps of a command line; `names` are those of its strategies.

    Raises:
        UsageError: a text is no key=a,b,c; a value or a key comes twice, or is set too; too many runs.
    """
    found = [read_sweep(text) for text in texts]
    keys = [sweep.key for sweep in found]
    fixed = [split_set(text, "backtest")[0] for text in sets]
    for at, key in enumerate(keys):
        if keys.count(key) > 1:
            raise UsageError(f"--sweep {key}: expected each key once, found it {keys.count(key)} times")
        for option, others in (("--sweep", keys[:at]), ("--set", fixed)):
            other = next((other for other in others if meet(key, other, names)), None)
            if other is not None:
                raise UsageError(f"--sweep {key}: {option} {other} sets it too; expected one of them")
    runs = math.prod(len(sweep.values) for sweep in found)
    if runs > MOST_RUNS:
        raise UsageError(f"--sweep: expected at most {MOST_RUNS:,} runs, found {runs:,}")
    return found


def meet(key: str, other: str, names: Sequence[str]) -> bool:
    """Whether two keys set the same parameter of a strategy, or of the executor."""
    (owner, rest), (other_owner, other_rest) = owned(key, names), owned(other, names)
    owners = {owner, other_owner}
    return rest == other_rest and (len(owners) == 1 or ("" in owners and EXECUTE not in owners))


def owned(key: str, names: Sequence[str]) -> tuple[str, str]:
    """Whose a key is, `""` where it is that of every strategy, and what it is called there."""
    first, _, rest = key.partition(".")
    return (first, rest) if rest and first in (EXECUTE, *names) else ("", key)


def read_sweep(text: str) -> Sweep:
    """`key=a,b,c`.  Commas within brackets or quotes part no values.

    Raises:
        UsageError: it is not that, or a value is empty or comes twice.
    """
    key, equals, rest = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(f"--sweep: expected key=a,b,c, found {text!r:.80}")
    values = parted(rest)
    for value in values:
        if not value:
            raise UsageError(f"--sweep {key}: expected a value between commas, found none in {rest!r:.80}")
        if values.count(value) > 1:
            raise UsageError(
                f"--sweep {key}: expected each value once, found {value!r:.80} {values.count(value)} times"
            )
    return Sweep(key, tuple(values))


def parted(text: str) -> list[str]:
    """The parts of `text` between commas that stand in no bracket and no quote."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if letter == "," and not depth and not quote:
            parts.append("")
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES:
            quote = letter
        else:
            depth += (letter in OPENING) - (letter in CLOSING)
        parts[-1] += letter
    return [part.strip() for part in parts]


def runs_of(sweeps: Sequence[Sweep]) -> list[dict[str, str]]:
    """What each run sets: every combination of values."""
    return [
        dict(zip([sweep.key for sweep in sweeps], values, strict=True))
        for values in itertools.product(*(sweep.values for sweep in sweeps))
    ]


class Shares(NamedTuple):
    """`key=value` texts by whose they are."""

    strategies: list[list[str]]
    """Of each strategy."""
    executor: list[str]


def share(classes: Sequence[type[AnyStrategy]], sets: Sequence[str]) -> Shares:
    """Give each text to those whose key it is.

    Raises:
        UsageError: it is nobody's.
    """
    shares = Shares([[] for _ in classes], [])
    names = [cls.name for cls in classes]
    for text in sets:
        key, value = split_set(text, "backtest")
        first, _, rest = key.partition(".")
        if first == EXECUTE and rest:
            shares.executor.append(f"{rest}={value}")
        elif first in names and rest:
            shares.strategies[names.index(first)].append(f"{rest}={value}")
        elif len(classes) == 1:
            shares.strategies[0].append(text)  # an unknown key is told by its reader
        else:
            owners = [number for number, cls in enumerate(classes) if first in fields_of(cls)]
            if not owners:
                there = sorted({name for cls in classes for name in fields_of(cls)})
                raise UsageError(
                    f"parameter {key}: no strategy has it{did_you_mean(first, there)} {there_are(there)}; "
                    f"the executor's are {EXECUTE}.KEY"
                )
            for number in owners:
                shares.strategies[number].append(text)
    return shares


def fields_of(cls: type[AnyStrategy]) -> list[str]:
    """The names of a strategy's parameters."""
    if cls.params is None:
        return []
    return [field.encode_name for field in msgspec.structs.fields(cls.params)]


def texts_of(settings: Mapping[str, str]) -> list[str]:
    """Settings as `key=value` texts."""
    return [f"{key}={value}" for key, value in settings.items()]
