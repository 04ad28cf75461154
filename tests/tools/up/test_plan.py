"""supervisord's configuration is read by supervisord's own parser, whatever the paths are called."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from tools.command.config import Settings
from tools.up.history import lives_of
from tools.up.plan import UpOptions, quoted, supervisord_conf
from tools.up.run_directory import RunDirectory, as_toml

OPTIONS = UpOptions(restarts=3, settle_s=4, grace_s=5, log_bytes=6000, log_files=2)


@pytest.mark.parametrize("name", ["plain", "with space", "100%", "a ;b", "a #b", "it's", "%(here)s", "a ; # % 'b"])
def test_supervisord_conf_is_read_as_it_was_meant(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = RunDirectory(tmp_path / name)
    directory.make()
    monkeypatch.chdir(directory.directory)
    processes = {"relay.a": Settings("relay", "relay.a"), "bridge_out": Settings("bridge_out", "bridge_out")}
    directory.supervisord_conf.write_text(supervisord_conf(directory, processes, OPTIONS))
    options = ServerOptions()
    options.realize(["-c", str(directory.supervisord_conf)])
    (group,) = options.process_group_configs
    found = {one.name: one for one in group.process_configs}
    assert set(found) == set(processes)
    bridge = found["bridge_out"]
    assert shlex.split(bridge.command)[-4:] == [
        f"--config={directory.settings}",
        "--process=bridge_out",
        "bridge",
        "out",
    ]
    assert (bridge.startretries, bridge.startsecs, bridge.stopwaitsecs) == (3, 4, 5)
    assert (bridge.stdout_logfile, bridge.stdout_logfile_maxbytes, bridge.stdout_logfile_backups) == (
        "logs/bridge_out.log",
        6000,
        1,
    )


def test_quoted_words_are_the_same_for_a_shell() -> None:
    words = ["a b", "a ;b", "a #b", "50%", "it's", ""]
    assert shlex.split(quoted(words).replace("%%", "%")) == words


def test_settings_of_a_run_directory_are_read_again_as_they_were(tmp_path: Path) -> None:
    import tomllib

    values = {
        "relay.a": {"ring": ['quote " and \\', "é"], "patience": 2.5, "max_clients": 7},
        "recorder": {"pack": False},
    }
    assert tomllib.loads(as_toml(values)) == {"relay": {"a": values["relay.a"]}, "recorder": values["recorder"]}


LOG = """\
2026-11-28 19:40:24,129 INFO supervisord started with pid 1
2026-11-28 19:40:25,134 INFO spawned: 'node' with pid 2
2026-11-28 19:40:24,129 INFO supervisord started with pid 3
2026-11-28 19:40:25,134 INFO spawned: 'relay.a' with pid 4
2026-11-28 19:40:28,261 INFO success: relay.a entered RUNNING state, process has stayed up for > than 3 seconds
2026-11-28 19:40:29,093 WARN exited: relay.a (terminated by SIGKILL; not expected)
2026-11-28 19:40:30,134 INFO spawned: 'relay.a' with pid 5
2026-11-28 19:40:31,093 WARN exited: relay.a (exit status 1; not expected)
2026-11-28 19:40:45,093 INFO stopped: node (exit status 0)
"""


def test_lives_are_those_since_supervisord_began_last() -> None:
    lives = lives_of(LOG.splitlines())
    assert {name: (life.starts, life.last_end) for name, life in lives.items()} == {
        "relay.a": (2, "exit status 1"),
        "node": (0, "exit status 0"),
    }
