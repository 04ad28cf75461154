"""Whether what a configuration names is there and can be used: its keys, rings, journals, files, ports and brokers.

Owns these checks, which are made before an `alphapulse up` or while it runs.  They start nothing and change nothing:
a port is bound for a moment and never listened at.  No finding has a key's value that may be a secret.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from producers.chains.configuration import ChainConfig, load_chain
from tlv.errors import AlphaPulseError, UsageError
from tools.command.claims import Claim, claims_of
from tools.command.config import Configuration, Settings, load_config
from tools.command.endpoint_options import checked_websocket
from tools.command.environment import CREDENTIALS, PREFIX, settings_environment
from tools.command.places import where
from tools.doctor.bounded import Named
from tools.doctor.delivery import check_journal
from tools.doctor.finding import CheckResult, Verdict
from tools.doctor.machine import MIB, missing_packages
from tools.doctor.storage import SHARED_MEMORY, STATE_MIB, check_directory, check_shared_memory

EXTRAS = {"obs": "obs", "bridge_out": "nats", "bridge_in": "nats"}
"""What a section needs beside the package itself."""
REFERENCE = "alphapulse config reference shows every key"
EDIT = "alphapulse config check -c {path}, once it is corrected; `alphapulse config reference` shows every key"


@dataclass(frozen=True)
class Part:
    """One process of a configuration, and the value of each of its options by key."""

    settings: Settings
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """`relay.signal`."""
        return self.settings.name

    @property
    def section(self) -> str:
        """`relay`."""
        return self.settings.section


class Plan:
    """What a configuration names, as far as it can be read."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.path = path
        self.environment = environment
        self.configuration: Configuration | None = None
        self.parts: list[Part] = []
        self.chains: dict[str, ChainConfig] = {}
        """Of each collector, by its name, once `check_chain` has read it."""

    def checks(self) -> Iterator[Named]:
        """Every check; those of what stands in the file follow from whether it can be read."""
        yield "configuration", self.read
        yield "credentials", self.check_credentials
        if self.configuration is None:
            return
        yield "configuration's mode", self.check_mode
        yield "extras", self.check_extras
        yield "this `up`", self.check_up
        yield "other `up`s", self.check_claims
        yield "rings that are read", self.check_rings
        yield "room for rings", self.check_room
        for part in self.parts:
            for what, check in CHECKS_OF_PARTS.items():
                yield f"{part.name}: {what}", partial(check, part, self)

    def read(self) -> list[CheckResult]:
        """The file, and every mistake in it."""
        from tools.command.checking import effective, mistakes

        name, advice, at = "configuration", EDIT.format(path=self.path), str(self.path)
        if self.path.exists() and not self.path.is_file():
            return [CheckResult(name, Verdict.FAIL, "it is no file", advice, expected="a TOML file", where=at)]
        try:
            self.configuration = load_config(self.path, settings_environment(self.environment))
        except UsageError as error:
            if not self.path.exists():
                advice = f"alphapulse init {self.path} writes one"
            return [CheckResult(name, Verdict.FAIL, str(error), advice, where=at)]
        wrong = mistakes(self.configuration)
        for settings in self.configuration.processes.values():
            with contextlib.suppress(click.UsageError, AlphaPulseError):  # named by `mistakes`
                part = Part(settings, effective(settings, self.path))
                claims_of(settings.command, part.options)
                self.parts.append(part)
        if wrong:
            return [CheckResult(name, Verdict.FAIL, one, advice, where=at) for one in wrong]
        if not self.configuration.processes:
            found = "it names no process"
            expected = "[collector], [relay], [recorder] ..."
            return [
                CheckResult(name, Verdict.FAIL, found, f"alphapulse init; {REFERENCE}", expected=expected, where=at)
            ]
        return [CheckResult(name, Verdict.OK, f"{', '.join(self.configuration.processes)}", where=at)]

    def check_mode(self) -> CheckResult:
        """Whoever reads the file has the keys in its URLs."""
        name, mode = "configuration's mode", self.path.stat().st_mode & 0o777
        holds_key = "://" in self.path.read_text(encoding="utf-8")
        if mode & 0o022:
            found = f"{mode:04o}: others can change what `up` starts"
        elif mode & 0o044 and holds_key:
            found = f"{mode:04o}: others can read the URLs in it, which may hold keys"
        else:
            return CheckResult(name, Verdict.OK, f"{mode:04o}", where=str(self.path))
        remedy = f"chmod 600 {self.path}"
        return CheckResult(name, Verdict.WARN, found, remedy, expected="0600", where=str(self.path))

    def check_credentials(self) -> list[CheckResult]:
        """The files that systemd's LoadCredential made; one that cannot be read would silently be none."""
        folder = self.environment.get(CREDENTIALS, "")
        found = []
        for path in sorted(Path(folder).glob(f"{PREFIX}*")) if folder else ():
            wrong = wrong_credential(path)
            if wrong:
                remedy = f"printf %s SECRET > {path.name}: one line; LoadCredential= of the unit names the file"
                where_ = str(path)
                found.append(CheckResult("credentials", Verdict.FAIL, wrong, remedy, expected="one line", where=where_))
        if folder and not Path(folder).is_dir():
            remedy = "LoadCredential= of the unit; unset it elsewhere"
            text = f"{CREDENTIALS} names no directory"
            found.append(CheckResult("credentials", Verdict.FAIL, text, remedy, where=folder))
        return found or [CheckResult("credentials", Verdict.OK, "all can be read" if folder else "none")]

    def check_extras(self) -> CheckResult:
        """What its sections need beside the package."""
        from importlib import metadata

        wanted = {"up", *(EXTRAS[part.section] for part in self.parts if part.section in EXTRAS)}
        try:
            wrong = missing_packages(metadata.distribution("alphapulse"))
        except metadata.PackageNotFoundError:
            return CheckResult("extras", Verdict.UNKNOWN, "alphapulse is run and not installed", "pip install .")
        lacking = sorted({extra for extra, _ in wrong} & wanted)
        if not lacking:
            return CheckResult("extras", Verdict.OK, ", ".join(sorted(wanted)))
        found = ", ".join(text for extra, text in wrong if extra in lacking)
        remedy = f"pip install 'alphapulse[{','.join(lacking)}]'"
        return CheckResult("extras", Verdict.FAIL, found, remedy, expected=", ".join(sorted(wanted)))

    def check_up(self) -> CheckResult:
        """Whether it runs: a second `up` of it is refused."""
        from tools.up.run_directory import RunDirectory, as_toml

        name, at = "this `up`", str(self.path)
        if not where().is_dir():
            return CheckResult(name, Verdict.OK, "down")
        place = RunDirectory.of(self.path)
        who = place.who()
        if not place.is_held():
            if who is None:
                return CheckResult(name, Verdict.OK, "down")
            found = f"its supervisor (pid {who.pid}) was killed, and its processes ended with it"
            remedy = f"alphapulse up -c {self.path}; alphapulse down -c {self.path} forgets it"
            return CheckResult(name, Verdict.WARN, found, remedy, where=at)
        assert self.configuration is not None
        now = as_toml({part: one.values for part, one in self.configuration.processes.items()})
        pid = who.pid if who is not None else 0
        if place.settings.exists() and place.settings.read_text(encoding="utf-8") != now:
            found = f"it runs (supervisor pid {pid}) with other settings than the file has now"
            remedy = f"alphapulse down -c {self.path} && alphapulse up -c {self.path}"
            return CheckResult(name, Verdict.WARN, found, remedy, where=at)
        return CheckResult(name, Verdict.OK, f"it runs, supervisor pid {pid}; a second `up` would be refused", where=at)

    def check_claims(self) -> list[CheckResult]:
        """Rings, journals, sockets and ports that a running `up` of another file has."""
        from tools.up.run_directory import RunDirectory

        taken: dict[Claim, str] = {}
        if where().is_dir():
            own = RunDirectory.of(self.path).directory
            for place in RunDirectory.all():
                who = place.who()
                if place.directory != own and who is not None and place.is_held():
                    taken |= dict.fromkeys(place.claims(), who.config)
        found = []
        for part in self.parts:
            for claim in claims_of(part.settings.command, part.options):
                if claim in taken:
                    text = f"{claim.kind} {claim.what} is that of {taken[claim]}, which is up"
                    remedy = f"alphapulse down -c {taken[claim]}, or another name"
                    found.append(CheckResult("other `up`s", Verdict.FAIL, text, remedy, where=part.name))
        return found or [CheckResult("other `up`s", Verdict.OK, "have nothing of it")]

    def check_rings(self) -> list[CheckResult]:
        """A ring that nobody writes is waited for without end."""
        from ringbuf import list_rings

        written = {
            one.what
            for part in self.parts
            for one in claims_of(part.settings.command, part.options)
            if one.kind == "ring"
        }
        there = set(list_rings())
        found = [
            CheckResult(
                "rings that are read",
                Verdict.WARN,
                f"nobody writes {ring}, and it is not there: {part.name} waits for it",
                f"is it misspelt? written are {', '.join(sorted(written)) or 'none'}",
                expected="a ring that a process of the configuration writes",
                where=f"{part.name}.ring",
            )
            for part in self.parts
            for ring in rings_read(part)
            if ring not in written | there
        ]
        return found or [CheckResult("rings that are read", Verdict.OK, "each is written")]

    def check_room(self) -> CheckResult:
        """Rings that are not there yet are allocated in full."""
        from consumers.host import SIGNAL_CAPACITY
        from ringbuf import list_rings

        there, need = set(list_rings()), 0
        for part in self.parts:
            capacity = part.options.get("capacity") or (SIGNAL_CAPACITY if part.section == "strategy" else 0)
            for claim in claims_of(part.settings.command, part.options):
                need += capacity if claim.kind == "ring" and claim.what not in there else 0
        return replace(check_shared_memory(SHARED_MEMORY, max(need // MIB + 1, 1)), name="room for rings")

    def endpoints(self) -> dict[str, str]:
        """Each WebSocket URL that its collectors connect to, and the chain that it must serve.  Left out are those that
        are none, which `read` has said, and those of a `[node]` of this file: it serves a recording, once it is up."""
        own = {claim.what for part in self.parts if part.section == "node" for claim in claims_of("node", part.options)}
        found: dict[str, str] = {}
        for part in self.parts:
            if part.name in self.chains:
                options = part.options
                urls = (*([options["url"]] if options["url"] else []), *options["fallback"])
                urls = urls or self.chains[part.name].endpoints
                second = [options["cross_check"]] if options["cross_check"] else []
                found |= dict.fromkeys((*urls, *second), options["chain"])
        return {
            url: chain
            for url, chain in found.items()
            if is_websocket(url) and not any(f"//{place}" in url for place in own)
        }


def is_websocket(url: str) -> bool:
    """Whether a collector could connect to it."""
    with contextlib.suppress(UsageError):
        return bool(checked_websocket(url))
    return False


def wrong_credential(path: Path) -> str:
    """What is wrong with a credential's file; empty if nothing."""
    if not path.is_file():
        return "no file"
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        return "not UTF-8"
    if not text:
        return "it is empty"
    return "it has several lines" if len(text.splitlines()) > 1 else ""


def rings_read(part: Part) -> list[str]:
    """The rings that a process waits for."""
    if part.section in ("recorder", "bridge_out", "strategy"):
        return [part.options["ring"]] if part.options["ring"] else []
    return list(part.options["ring"]) if part.section == "relay" else []


def check_chain(part: Part, plan: Plan) -> Iterator[CheckResult]:
    """A collector's chain file."""
    if part.section == "collector":
        chain = part.options["chain"]
        try:
            plan.chains[part.name] = load_chain(chain)
            yield CheckResult(f"{part.name}: chain", Verdict.OK, plan.chains[part.name].name)
        except AlphaPulseError as error:
            remedy = "alphapulse chain template writes one; --chain polygon and ethereum are bundled"
            yield CheckResult(f"{part.name}: chain", Verdict.FAIL, str(error), remedy, where=f"{part.name}.chain")


def check_state(part: Part, plan: Plan) -> Iterator[CheckResult]:
    """A collector's state file, and whether it can be replaced."""
    from producers.blocks.state_file import load

    chain = plan.chains.get(part.name)
    if chain is None or not part.options["state"]:
        return
    path, name = Path(part.options["state"]), f"{part.name}: state file"
    try:
        load(path, chain.chain_id, chain.genesis)
    except AlphaPulseError as error:
        yield CheckResult(name, Verdict.FAIL, str(error), f"mv {path} {path}.damaged", where=str(path))
        return
    yield check_directory(name, path.parent, STATE_MIB)


def check_pools(part: Part, plan: Plan) -> Iterator[CheckResult]:
    """A collector's verified pools."""
    from producers.pools.cache import PoolCache
    from tools.collect import cache_path

    chain, name = plan.chains.get(part.name), f"{part.name}: pool cache"
    path = cache_path(part.options["pool_cache"], chain.chain_id) if chain is not None else None
    if chain is None or path is None:
        return
    found = PoolCache(path, chain).load()
    if found.refused:
        text = f"{sum(found.refused.values())} lines are passed over, {found.first_refused}"
        remedy = f"mv {path} {path}.damaged: the pools are asked of the node again"
        yield CheckResult(name, Verdict.WARN, text, remedy, where=str(path))
        return
    yield check_directory(name, path.parent, STATE_MIB)


def check_journals(part: Part, plan: Plan) -> Iterator[CheckResult]:
    """What is recorded, and what is read when a ring has gone on."""
    if part.section == "recorder":
        out, options = Path(part.options["out"]), part.options
        recorded = sum(path.stat().st_size for path in out.glob("*") if path.is_file())
        need = max(options["retain_mib"] - recorded // MIB, 2 * options["segment_mib"])
        yield replace(check_journal(out, options["ring"] or "", need), name=f"{part.name}: journal")
        return
    given = part.options.get("journal") or ()
    recorded_here = {str(Path(one.options["out"]).absolute()) for one in plan.parts if one.section == "recorder"}
    for path in [given] if isinstance(given, str | Path) else given:
        if str(Path(path).absolute()) not in recorded_here:
            yield replace(check_journal(Path(path)), name=f"{part.name}: journal")


def check_port(part: Part, plan: Plan) -> Iterator[CheckResult]:
    """Where it listens."""
    from tools.up.run_directory import RunDirectory

    if part.section not in ("node", "obs") or not part.options["port"]:
        return
    host, port = part.options["host"], part.options["port"]
    runs = where().is_dir() and RunDirectory.of(plan.path).is_held()
    yield port_finding(f"{part.name}: port", host, port, ours=runs)


def port_finding(name: str, host: str, port: int, *, ours: bool = False) -> CheckResult:
    """Whether a process could listen at a port; `ours`: who listens there may be what this configuration runs."""
    at = f"{host}:{port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        return CheckResult(name, Verdict.FAIL, f"{host} is no address", 'host = "127.0.0.1"', where=at)
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and ours:
                return CheckResult(name, Verdict.OK, "in use, as it is up", where=at)
            remedies = {
                errno.EADDRINUSE: f"another port; ss -ltnp 'sport = :{port}' shows who has it",
                errno.EACCES: "a port of 1024 or more, or AmbientCapabilities=CAP_NET_BIND_SERVICE of the unit",
                errno.EADDRNOTAVAIL: "no interface has this address: ip address shows those there are",
            }
            remedy = remedies.get(error.errno or 0, "another host or port")
            return CheckResult(name, Verdict.FAIL, str(error.strerror), remedy, expected="a free port", where=at)
    return CheckResult(name, Verdict.OK, "free", where=at)


def check_token(part: Part, plan: Plan) -> Iterator[CheckResult]:
    """The token that obs asks for."""
    from tools.obs.command import read_token

    path = part.options.get("token_file")
    if part.section != "obs" or not path:
        return
    name, remedy = f"{part.name}: token", f"(umask 077; openssl rand -hex 32 > {path})"
    if Path(path).exists() and not Path(path).is_file():
        yield CheckResult(name, Verdict.FAIL, "no file", remedy, where=str(path))
        return
    try:
        read_token(Path(path))
    except UsageError as error:
        yield CheckResult(name, Verdict.FAIL, str(error), remedy, where=str(path))
    else:
        yield CheckResult(name, Verdict.OK, "can be read", where=str(path))


def check_broker(part: Part, plan: Plan) -> Iterator[CheckResult]:
    """The bridge's server: reached, let in, and with a stream that can be used."""
    if part.section not in ("bridge_out", "bridge_in"):
        return
    import asyncio

    from tools.bridge import broker_of

    keys = ("server", "stream", "subject", "creds", "nkey", "tls_ca", "tls_cert", "tls_key")
    try:
        broker = broker_of(part.options["ring"], **{key: part.options[key] for key in keys})
    except UsageError as error:
        remedy = "the file as `nsc` wrote it: nsc generate creds; openssl x509 -in FILE shows a certificate"
        yield CheckResult(f"{part.name}: broker", Verdict.FAIL, str(error), remedy, where=part.name)
        return
    from tools.bridge_status import look

    found = asyncio.run(look(part.options["ring"], broker, part.options.get("max_mib") or 0))
    for check in found.checks:
        yield replace(
            check, name=f"{part.name}: {check.name}", where=check.where or part.options["server"].rpartition("@")[2]
        )


CHECKS_OF_PARTS = {
    "chain": check_chain,
    "state file": check_state,
    "pool cache": check_pools,
    "journal": check_journals,
    "port": check_port,
    "token": check_token,
    "broker": check_broker,
}
