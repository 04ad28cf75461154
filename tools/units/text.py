"""The texts of the units: a template for every process of a configuration, and a target that wants them all.

Owns the hardening.  `systemd-analyze security` gives the template at most 2.5 of 10 (`tests/tools/test_units.py`).  Not
taken: MemoryDenyWriteExecute, since kernels are compiled here; DynamicUser and RemoveIPC, since rings outlive their
processes; PrivateIPC, since rings are shared; ProcSubset, since a ring names the boot, whose id is in /proc/sys.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

TEMPLATE = "alphapulse@.service"
TARGET = "alphapulse.target"

SERVICE = """\
# Written by alphapulse units.
[Unit]
Description=AlphaPulse %i
PartOf={target}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=300
StartLimitBurst=20

[Service]
# Ready when its loop turns, also while it waits for a ring; the watchdog is fed by that loop.  A collector feeds it
# when it has published: its heartbeats are, and say what is wrong with a dead feed.
Type=notify
NotifyAccess=main
WatchdogSec=30
# Kernels are compiled at the first start of a version.
TimeoutStartSec=300
TimeoutStopSec=15
Restart=always
RestartSec=1
ExecStart={command} run %i -c {config}
# A URL with a key is a file there that is named like its variable without ALPHAPULSE__: COLLECTOR__URL.
LoadCredential=ALPHAPULSE_:{credentials}
Environment=XDG_RUNTIME_DIR=%t/alphapulse
Environment=XDG_CACHE_HOME=%C/alphapulse
Environment=XDG_STATE_HOME=%S/alphapulse

User={user}
UMask=0077
RuntimeDirectory=alphapulse
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
CacheDirectory=alphapulse
CacheDirectoryMode=0700
StateDirectory=alphapulse
StateDirectoryMode=0700
{writable}RemoveIPC=no

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
DevicePolicy=closed
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
KeyringMode=private
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy={target}
"""

WANTS_ALL = """\
# Written by alphapulse units.
[Unit]
Description=AlphaPulse: every process of {config}
Wants={services}

[Install]
WantedBy=multi-user.target
"""


def service_unit(*, command: str, config: Path, credentials: Path, user: str, writable: Sequence[Path]) -> str:
    """The template; an instance is called like its process."""
    homes = (Path("/home"), Path("/root"))
    needed = (config, Path(command.split(maxsplit=1)[0]), *writable)
    in_home = any(path.is_relative_to(home) for path in needed for home in homes)
    return SERVICE.format(
        command=command,
        config=config,
        credentials=credentials,
        target=TARGET,
        user=user,
        home="read-only" if in_home else "yes",
        writable="".join(f"ReadWritePaths=-{path}\n" for path in writable),
    )


def target_unit(*, config: Path, processes: Sequence[str]) -> str:
    """The target."""
    services = " ".join(f"alphapulse@{name}.service" for name in processes)
    return WANTS_ALL.format(config=config, services=services)
