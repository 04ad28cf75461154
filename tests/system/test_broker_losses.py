"""What each setting of a NATS server loses of what it acknowledged; docs of the bridge quote these numbers."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import CliRunner

from tools.prove.delivery.broker import BATCH, BATCHES, SETTINGS
from tools.prove.delivery.broker_command import command


def test_prove_broker_finds_what_each_setting_loses(tell: Callable[[str], None]) -> None:
    ran = CliRunner().invoke(command, ["--json"], standalone_mode=False)
    assert ran.return_value == 0, ran.output
    found = {(loss["server"].rpartition(".")[0], loss["setting"]): loss for loss in json.loads(ran.output)}
    default, always, _, limited, memory = (setting.name for setting in SETTINGS)
    assert found["2.9", always]["refused"]
    for server in ("2.9", "2.15"):
        assert found[server, default]["lost"] == 0
        assert found[server, limited]["dropped_before"] > 0
        assert found[server, memory]["lost"] == BATCHES
    synced, unsynced = found["2.15", always], found["2.15", default]
    assert synced["lost"] == 0
    if synced["not_on_disk"] is not None:
        assert synced["not_on_disk"] == 0
        assert 0 <= unsynced["not_on_disk"] <= 2 * BATCHES * len(BATCH)
    tell(f"a killed broker had {unsynced['not_on_disk']} acknowledged bytes to write; synced: {synced['not_on_disk']}")
