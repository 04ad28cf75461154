"""`alphapulse doctor`: the command.  Owns its options and its two forms of output; the checks stand beside it."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from tlv.errors import UsageError
from tools.command.endpoint_options import checked_http, checked_websocket, configured, http_url_of
from tools.doctor import machine, storage
from tools.doctor.bounded import Named, look
from tools.doctor.delivery import checks_of_delivery
from tools.doctor.finding import CheckResult, Verdict, healthy

if TYPE_CHECKING:
    from producers.chains.configuration import ChainConfig

DEFAULT_CHAIN = "polygon"


@click.command("doctor", epilog="Example:  alphapulse doctor --url wss://polygon-bor-rpc.publicnode.com --json")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check what this configuration names too, and its endpoints.",
)
@click.option("--url", "urls", multiple=True, help="Check this WebSocket endpoint too; repeatable.")
@click.option("--http-url", help="Where the same node answers HTTP.  [default: the URL with http for ws]")
@click.option("--endpoints", is_flag=True, help="Check the collector's configured endpoints, else the chain's.")
@click.option("--ask/--no-ask", default=True, help="Ask the endpoints of the configuration.  [default: ask]")
@click.option(
    "--chain", default=configured("chain"), help="polygon, ethereum, base or a TOML file.  [default: polygon]"
)
@click.option(
    "--wait",
    "wait_s",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0.5, 600),
    metavar="SECONDS",
    help="How long to watch for blocks.",
)
@click.option(
    "--journal",
    "journals",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Check this journal's files too; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(
    config: Path | None,
    urls: tuple[str, ...],
    http_url: str | None,
    endpoints: bool,
    ask: bool,
    chain: str | None,
    wait_s: float,
    journals: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Check whether this machine can run the pipeline well, and with --url whether a node can feed it.

    Rings of another version, sockets without a relay, damaged cursors and, with --journal, damaged segments are named.
    With -c FILE so is what that configuration names: its keys, journals, ports, credentials, brokers and endpoints.

    An endpoint is asked for its chain, latency, calls and log ranges, then watched for a few blocks: what it pushes,
    how far HTTP lags behind, and whether the clocks agree.  Each finding is shown at once, with what to do about it,
    and each question is bounded.  Nothing is changed.  The exit code is 1 if a check failed (docs/doctor.md).
    """
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # as `ringstat`: loading machine code takes longer than the look
    config = config or click.get_current_context().find_root().params.get("config")
    if config is None and not ask:
        raise UsageError("--no-ask has no effect without -c FILE")
    chain = chain or DEFAULT_CHAIN
    targets = dict.fromkeys((*urls, *(configured_urls(load(chain)) if endpoints else ())), chain)
    if targets:
        load(chain)
    for url in targets:
        checked_websocket(url)
    checks: list[Iterable[Named]] = [machine.CHECKS, storage.CHECKS, checks_of_delivery(journals)]
    found = list(shown(itertools.chain.from_iterable(checks), as_json))
    if config is not None:
        from tools.doctor.configuration import Plan

        plan = Plan(config, os.environ)
        found += shown(plan.checks(), as_json)
        targets |= plan.endpoints() if ask else {}
    if not targets and config is None:
        say("no endpoint was asked: --endpoints asks those that collect would use, --url another one")
    asked = examine_all(targets, http_url, wait_s, as_json)
    well = healthy(found) and all(healthy(findings) for _, findings in asked)
    if as_json:
        nodes = [{"host": host, "healthy": healthy(findings), "checks": findings} for host, findings in asked]
        click.echo(msgspec.json.encode({"healthy": well, "checks": found, "endpoints": nodes}))
    else:
        say(summary(found, [findings for _, findings in asked]))
    return 0 if well else 1


def shown(checks: Iterable[Named], as_json: bool) -> Iterator[CheckResult]:
    """What each check finds, shown as it comes."""
    for name, check in checks:
        for finding in look(name, check):
            if not as_json:
                show(finding)
            yield finding


def summary(found: list[CheckResult], asked: list[list[CheckResult]]) -> str:
    """How many findings there are of which kind."""
    verdicts = [finding.verdict for finding in itertools.chain(found, *asked)]
    failed, warned = verdicts.count(Verdict.FAIL), verdicts.count(Verdict.WARN)
    return f"{len(verdicts)} checks: {failed} failed, {warned} warned"


def load(chain: str) -> ChainConfig:
    """A chain's file."""
    from producers.chains.configuration import load_chain

    return load_chain(chain)


def examine_all(
    targets: Mapping[str, str], http_url: str | None, wait_s: float, as_json: bool
) -> list[tuple[str, list[CheckResult]]]:
    """Host and findings of every endpoint, one after the other; shown as they come unless all is JSON.

    Args:
        targets: WebSocket URL to the chain that it must serve.

    Raises:
        UsageError: a URL is none, or a chain cannot be read.
    """
    if not targets:
        return []
    from producers.node.redaction import host_of
    from tools.doctor.node import examine

    wanted = {checked_websocket(url): load(chain) for url, chain in targets.items()}
    if http_url is not None and len(wanted) > 1:
        raise UsageError(f"--http-url: expected one endpoint, found {len(wanted)}")
    found = []
    for url, chain in wanted.items():
        over_http = checked_http(http_url) if http_url is not None else http_url_of(url)
        if not as_json:
            click.echo(f"\n{host_of(url)}")
        findings = asyncio.run(examine(url, over_http, chain, wait_s, say, (lambda _: None) if as_json else show))
        found.append((host_of(url), findings))
    return found


def configured_urls(chain: ChainConfig) -> tuple[str, ...]:
    """The collector's endpoints, by configuration or by chain."""
    url, fallbacks = configured("url")(), configured("fallback")() or ()
    return (*([url] if url else []), *fallbacks) or chain.endpoints


def show(finding: CheckResult) -> None:
    """One line, as soon as it is known."""
    click.echo(finding.line)


def say(line: str) -> None:
    """What is going on, for the person who waits."""
    click.echo(line, err=True)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "doctor")
