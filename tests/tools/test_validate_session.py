"""A validation whose collector stops, and whose node goes away: the report fails and says why, the run goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from producers.chains.configuration import load_chain
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.node import Node
from tools.rig.evm.world import World
from tools.validate.processes import Setup, running
from tools.validate.report import Thresholds, line, to_dict


def collector_process() -> int:
    """The child of this process that is one."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    (pid,) = (int(child) for child in children if b"collect" in Path(f"/proc/{child}/cmdline").read_bytes())
    return pid


def test_session_reports_a_stopped_collector_as_behind_and_every_block_unread_when_the_node_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.validate.session.DOUBT_S", 0.5)
    monkeypatch.setattr("tools.validate.witness.FIRST_PAUSE_S", 0.001)
    toml = tmp_path / "chain.toml"
    with Node() as node:
        world = World.build(node.rpc)
        toml.write_text(chain_toml(world))
        setup = Setup(load_chain(str(toml)), str(toml), (node.url,), "none")
        with running(setup, lambda text: None) as session:
            deadline = time.monotonic() + 60
            while session.ledger.closed < 0 and time.monotonic() < deadline:
                world.v2_swap(0, world.weth, 10**15)
                session.watch(0.2, lambda session: None)
            good = session.report()
            with monkeypatch.context() as soon:
                soon.setattr("tools.validate.report.LEAST_STILL_S", 0.5)
                os.kill(collector := collector_process(), signal.SIGSTOP)
                world.receipt(world.v2_swap(0, world.weth, 10**15))
                session.watch(1.0, lambda session: None)
                stopped = session.report()
                os.kill(collector, signal.SIGCONT)
            for _ in range(3):
                world.v2_swap(1, world.weth, 10**15)
            session.watch(1.0, lambda session: None)
            node.close()
            bad = session.report()
    demands = Thresholds()
    assert to_dict(good, demands)["healthy"], to_dict(good, demands)
    assert good.blocks > 0
    failed = [demand.name for demand in stopped.criteria(demands) if not demand.passed]
    assert failed == ["blocks", "standing_still", "behind"]
    assert stopped.behind == 1
    assert bad.first == good.last + 1
    assert bad.unread == bad.blocks > 0
    assert [demand.name for demand in bad.criteria(demands) if not demand.passed] == ["blocks_not_read_again"]
    assert "cannot connect to 127.0.0.1" in to_dict(bad, demands)["examples"][0]
    assert line(bad, demands).startswith("FAILED  blocks ")
