"""The cursor file of a named client: which rings it remembers."""

from __future__ import annotations

from pathlib import Path

from consumers.relay.cursors import REMEMBERED, Cursor


def uuid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_cursor_remembers_the_last_rings_of_each_name(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "client")
    cursor.advance("other", uuid(1), 5)
    for number in range(REMEMBERED + 3):
        cursor.advance("market", uuid(number), 7)
    assert cursor.save()
    cursor.close()
    again = Cursor(tmp_path, "client")
    assert [known.uuid for known in again.of_ring("market")] == [uuid(n) for n in range(3, REMEMBERED + 3)]
    assert [known.uuid for known in again.of_ring("other")] == [uuid(1)]
    again.close()
