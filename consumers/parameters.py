"""Parameters of a strategy: a table and `key=value` texts, checked against the class that declares them.

Owns what a value may look like.  A text after `=` is a TOML value, or, where the parameter is a text and in any case
where it is no TOML, the text as it stands: `--set token=0x0d50...` needs no quotes.  A Decimal takes every digit of it,
a Path is a text.  `gas.tip_wei=1` means a parameter within a parameter.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import math
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union

import msgspec

from tlv.errors import UsageError
from tlv.nearest import did_you_mean, there_are

WHOLE = "$"
"""What msgspec calls the outermost value."""
MISSING = "Object missing required field "
UNKNOWN = "Object contains unknown field "
NO_CHOICE = "Invalid enum value"


def read_parameters(
    declared: type[Any] | None, table: Mapping[str, Any], sets: Sequence[str], where: str
) -> tuple[Any, ...]:
    """The arguments with which a strategy is made: its parameters, or nothing if it declares none.

    Raises:
        UsageError: an unknown parameter, a value that is none of it, or a required one that is not given; the message
            begins with `where` and names the parameter, what was expected and what was found.
    """
    values = _copy(table)
    for text in sets:
        key, value = split_set(text, where)
        _put(values, key, value if declared is None else _value_for(declared, key, value), where)
    if declared is None:
        if values:
            raise UsageError(f"{where}: it has no parameters, found {', '.join(values)}")
        return ()
    refuse_unknown(declared, values, where, "")
    try:
        found = _convert(values, declared)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}, {_explain(str(error), values, declared)}") from None
    except (TypeError, NameError, RecursionError) as error:  # annotations that msgspec cannot resolve or check
        raise UsageError(f"{where}: params: {declared.__name__} cannot be read: {error}") from None
    for key, number in _numbers(msgspec.structs.asdict(found), ""):
        if number.is_nan() if isinstance(number, Decimal) else math.isnan(number):
            raise UsageError(f"{where}, parameter {key}: expected a number, found nan")
    return (found,)


def shown_parameters(parameters: object) -> dict[str, Any]:
    """Parameters as JSON has them; {} for none."""
    if not isinstance(parameters, msgspec.Struct):
        return {}
    found: dict[str, Any] = msgspec.to_builtins(parameters, enc_hook=_shown)
    return found


def _shown(value: object) -> str:
    return str(value) if isinstance(value, PurePath) else repr(value)


def _convert(values: Any, kind: Any) -> Any:
    """`values` as an annotation wants them; keys of a table are texts, also where integers are meant."""
    return msgspec.convert(values, kind, dec_hook=_made, str_keys=True)


def _made(kind: type[Any], value: Any) -> Any:
    """What msgspec cannot make: a path."""
    if issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    raise TypeError(f"Expected {kind.__name__}, got {type(value).__name__}")


def split_set(text: str, where: str) -> tuple[str, str]:
    """Key and value of `key=value`.

    Raises:
        UsageError: it is not that.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise UsageError(f"{where}: --set: expected key=value, found {text!r:.80}")
    return key, value.strip()


def refuse_unknown(declared: Any, values: Any, where: str, above: str) -> None:
    """Refuse keys that the class, or a class within it, does not have.

    Raises:
        UsageError: naming the key and what there is.
    """
    if isinstance(values, list):
        for at, value in enumerate(values):
            refuse_unknown(_inner(declared), value, where, f"{above.removesuffix('.')}[{at}].")
    elif isinstance(values, Mapping):
        fields = _fields_of(declared)
        for key, value in values.items():
            if fields is not None and key not in fields:
                meant = did_you_mean(str(key), fields)
                raise UsageError(f"{where}, parameter {above}{key}: there is none{meant} {there_are(list(fields))}")
            kind = _inner(declared) if fields is None else fields[key]
            refuse_unknown(kind, value, where, f"{above}{key}.")


def _value_for(declared: Any, key: str, text: str) -> Any:
    """The text as the parameter takes it, or as TOML has it if it takes neither form: then the check says so."""
    kind = _type_of(declared, key)
    try:
        read = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):  # ValueError: more digits than Python reads
        return text
    value = read.pop("value")
    if read or (isinstance(value, float) and math.isinf(value) and "inf" not in text):
        return text  # another line with a key of its own; a number beyond any float
    candidates = (text, value) if Decimal in _alternatives(kind) else (value, text)
    for candidate in candidates if kind is not None else ():
        with contextlib.suppress(msgspec.ValidationError, TypeError, NameError):
            _convert(candidate, kind)
            return candidate
    return text if _is_text(kind) else value


def _is_text(kind: Any) -> bool:
    """Whether an annotation takes nothing but texts."""
    return all(
        one is str or (typing.get_origin(one) is Literal and all(isinstance(choice, str) for choice in _choices(one)))
        for one in _alternatives(kind)
    )


def _type_of(declared: Any, key: str) -> Any:
    """The annotation of a parameter; None if it is not known."""
    kind = declared
    for part in key.replace("[", ".").replace("]", "").split("."):
        fields = _fields_of(kind)
        kind = _inner(kind) if fields is None else fields.get(part)
    return kind


def _alternatives(kind: Any) -> list[Any]:
    """The annotations that an annotation allows: of `Annotated[A | None, ...]` A and None."""
    if typing.get_origin(kind) is Annotated:
        return _alternatives(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (Union, types.UnionType):
        return [found for one in typing.get_args(kind) for found in _alternatives(one)]
    return [kind]


def _fields_of(kind: Any) -> dict[str, Any] | None:
    """Names and annotations of the fields of the struct that an annotation allows; None if it allows none."""
    for one in _alternatives(kind):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return _fields(one)
    return None


@functools.cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Annotations by name.  Kept, as a sweep asks for them with every run."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(struct)}


def _inner(kind: Any) -> Any:
    """The annotation of what is in a list, or of the values in a table; None if it is not known."""
    for one in _alternatives(kind):
        arguments = typing.get_args(one)
        if arguments and typing.get_origin(one) in (list, set, frozenset, tuple, dict):
            return arguments[1] if typing.get_origin(one) is dict else arguments[0]
    return None


def _put(values: dict[str, Any], key: str, value: Any, where: str) -> None:
    *above, last = key.split(".")
    place = values
    for part in above:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UsageError(f"{where}: --set {key}: {part} is no table, found {inner!r:.80}")
        place = inner
    place[last] = value


def _copy(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in table.items()}


def _explain(text: str, values: Any, declared: Any) -> str:
    """msgspec's message, which says the type of a value, with the value itself."""
    expected, _, path = text.partition(" - at ")
    is_key = path.startswith("`key` in ")
    path = path.removeprefix("`key` in ").strip("`").removeprefix(WHOLE).removeprefix(".")
    for opening, meaning in ((MISSING, "missing"), (UNKNOWN, "there is none")):
        if expected.startswith(opening):
            name = expected.removeprefix(opening).strip("`")
            return f"parameter {f'{path}.{name}' if path else name}: {meaning}"
    expected = expected.partition(", got ")[0].replace("`", "")
    expected = expected.replace("Expected", "expected", 1)
    if not path:  # what the class' own __post_init__ says
        return f"parameters: {expected}"
    if expected.startswith(NO_CHOICE):
        expected = f"expected one of {', '.join(map(str, _choices(_type_of(declared, path))))}"
    elif expected == "expected bool":
        expected = "expected bool, true or false"
    is_expectation = expected.startswith(("expected", "Invalid"))
    found = f", found {_at(values, path)!r:.80}" if is_expectation else ""
    return f"parameter {path}: {'a key: ' if is_key else ''}{expected}{found}"


def _choices(kind: Any) -> list[Any]:
    """The values that an enumeration or a Literal has."""
    found: list[Any] = []
    for one in _alternatives(kind):
        if isinstance(one, type) and issubclass(one, enum.Enum):
            found += [member.value for member in one]
        elif typing.get_origin(one) is Literal:
            found += typing.get_args(one)
    return found


def _at(values: Any, path: str) -> Any:
    """The value at msgspec's path, `gas.units[2]`; as far as the path can be followed."""
    for part in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(values, Mapping) and part in values:
            values = values[part]
        elif (
            isinstance(values, Sequence) and not isinstance(values, str) and part.isdigit() and int(part) < len(values)
        ):
            values = values[int(part)]
        else:
            return values
    return values


def _numbers(values: Any, above: str) -> Iterator[tuple[str, float | Decimal]]:
    """Every number in the parameters that may be none, with its key."""
    if isinstance(values, float | Decimal):
        yield above, values
    elif isinstance(values, msgspec.Struct):
        yield from _numbers(msgspec.structs.asdict(values), above)
    elif isinstance(values, Mapping):
        for key, value in values.items():
            yield from _numbers(value, f"{above}.{key}" if above else str(key))
    elif isinstance(values, list | tuple | set | frozenset):
        for value in values:
            yield from _numbers(value, above)
