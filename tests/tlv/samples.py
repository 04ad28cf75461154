"""Records of every type with every field filled, and messages of every domain: where tests of `tlv` start from."""

from __future__ import annotations

import random
from typing import Any

from tlv.codes import Domain
from tlv.fields import FieldKind
from tlv.message import build
from tlv.record import RECORDS, Record


def random_value(rng: random.Random, kind: FieldKind) -> Any:
    """Any value that a field of `kind` can hold."""
    if kind.name.startswith("text"):
        return "".join(rng.choice("WMATICusdc.e+/-é") for _ in range(rng.randrange(kind.length // 2 + 1)))
    if kind.base == "u1" and kind.length:
        return rng.randbytes(kind.length)
    bits = 8 * kind.size
    value = rng.getrandbits(rng.randrange(bits + 1))
    return value - (1 << bits) if kind.name.startswith("i") and value >> (bits - 1) else value


def random_record(rng: random.Random, cls: type[Record]) -> Record:
    """A record of `cls` with random values in all its fields."""
    return cls(*(random_value(rng, kind) for kind in cls.layout.kinds.values()))


def built_in_types() -> list[int]:
    """The TLV types that the wire format declares, without what a test registers."""
    return sorted(number for number, cls in RECORDS.items() if cls.layout.domain is not None)


def random_message(rng: random.Random, most: int = 4) -> bytes:
    """A well-formed message of a random domain with up to `most` random records."""
    domain = rng.choice(list(Domain))
    types = [number for number in built_in_types() if RECORDS[number].layout.domain == domain]
    records = [random_record(rng, RECORDS[rng.choice(types)]) for _ in range(rng.randrange(most + 1))] if types else []
    return build(
        domain,
        rng.randrange(256),
        records,
        sequence=rng.randrange(1 << 63),
        timestamp_ns=rng.randrange(1 << 63),
        flags=rng.randrange(128),
    )
