"""When a standby may begin."""

from __future__ import annotations

from producers.standby import REMAKE_NS, Standby


def test_standby_begins_at_once_where_nobody_writes() -> None:
    standby = Standby()
    assert not standby.may_begin(0, written=True, lost_name=False)
    assert standby.may_begin(1, written=False, lost_name=False)


def test_standby_gives_a_writer_whose_ring_lost_its_name_time_to_make_it_anew() -> None:
    standby = Standby()
    assert not standby.may_begin(0, written=True, lost_name=False)
    assert not standby.may_begin(1, written=False, lost_name=True)
    assert not standby.may_begin(REMAKE_NS, written=False, lost_name=True)
    assert not standby.may_begin(REMAKE_NS + 1, written=True, lost_name=False), "it made it anew"
    assert not standby.may_begin(REMAKE_NS + 2, written=False, lost_name=True)
    assert not standby.may_begin(2 * REMAKE_NS + 1, written=False, lost_name=True)
    assert standby.may_begin(2 * REMAKE_NS + 2, written=False, lost_name=True)
