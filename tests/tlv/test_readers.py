"""Each reader views exactly its record, wherever that stands, compiled and as plain Python."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.tlv.plain import both
from tests.tlv.samples import random_record
from tlv import readers
from tlv.layout import LAYOUTS, Header
from tlv.record import RECORDS, Layout, Record


def name_of_reader(layout: Layout) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in layout.name)[1:] + "_at"


WITH_READER = [
    cls for cls in (Header, *RECORDS.values()) if cls.layout in LAYOUTS and hasattr(readers, name_of_reader(cls.layout))
]


@pytest.mark.parametrize("cls", WITH_READER, ids=lambda cls: cls.__name__)
def test_reader_views_the_record_at_any_position(cls: type[Record]) -> None:
    raw = random_record(random.Random(cls.layout.type), cls).pack()
    for read in both(getattr(readers, name_of_reader(cls.layout))):
        for pos in (0, 1, 34):
            buf = np.frombuffer(bytearray(b"\xff" * pos + raw + b"\xff" * 9), dtype=np.uint8)
            assert read(buf, pos).tobytes() == raw


def test_every_reader_was_tested() -> None:
    assert {name_of_reader(cls.layout) for cls in WITH_READER} == {n for n in vars(readers) if n.endswith("_at")}
