"""`alphapulse doctor`: the command.  Owns its options and its two forms of output; the checks stand beside it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from tlv.errors import UsageError
from tools.command.endpoint_options import checked_http, checked_websocket, configured, http_url_of
from tools.doctor.delivery import checks_of_delivery
from tools.doctor.finding import CheckResult, healthy, unreadable
from tools.doctor.machine import CHECKS

if TYPE_CHECKING:
    from producers.chains.configuration import ChainConfig

DEFAULT_CHAIN = "polygon"


@click.command("doctor", epilog="Example:  alphapulse doctor --url wss://polygon-bor-rpc.publicnode.com --json")
@click.option("--url", "urls", multiple=True, help="Check this WebSocket endpoint too; repeatable.")
@click.option("--http-url", help="Where the same node answers HTTP.  [default: the URL with http for ws]")
@click.option("--endpoints", is_flag=True, help="Check the collector's configured endpoints, else the chain's.")
@click.option("--chain", default=configured("chain"), help="polygon, ethereum, or a TOML file.  [default: polygon]")
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
    urls: tuple[str, ...],
    http_url: str | None,
    endpoints: bool,
    chain: str | None,
    wait_s: float,
    journals: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Check whether this machine can run the pipeline well, and with --url whether a node can feed it.

    Rings of another version, sockets without a relay, damaged cursors and, with --journal, damaged segments are named.

    An endpoint is asked for its chain, latency, calls and log ranges, then watched for a few blocks: what it pushes,
    how far HTTP lags behind, and whether the clocks agree.  Each finding is shown at once, with what to do about it,
    and each question is bounded.  The exit code is 1 if a check failed.
    """
    machine = []
    for finding in itertools.chain(map(looked, CHECKS), checks_of_delivery(journals)):
        machine.append(finding)
        if not as_json:
            show(finding)
    if not (urls or endpoints):
        say("no endpoint was asked: --endpoints asks those that collect would use, --url another one")
    found = examine_all(urls, http_url, endpoints, chain or DEFAULT_CHAIN, wait_s, as_json)
    well = healthy(machine) and all(healthy(findings) for _, findings in found)
    if as_json:
        nodes = [{"host": host, "healthy": healthy(findings), "checks": findings} for host, findings in found]
        click.echo(msgspec.json.encode({"healthy": well, "checks": machine, "endpoints": nodes}))
    return 0 if well else 1


def looked(check: Callable[[], CheckResult]) -> CheckResult:
    """What a check found, or that it could not look."""
    try:
        return check()
    except OSError as error:
        return unreadable(check.__name__.removeprefix("check_").replace("_", " "), error)


def examine_all(
    urls: tuple[str, ...], http_url: str | None, endpoints: bool, chain_name: str, wait_s: float, as_json: bool
) -> list[tuple[str, list[CheckResult]]]:
    """Host and findings of every endpoint, one after the other; shown as they come unless all is JSON."""
    if not (urls or endpoints):
        return []
    from producers.chains.configuration import load_chain
    from producers.node.redaction import host_of
    from tools.doctor.node import examine

    chain = load_chain(chain_name)
    wanted = [checked_websocket(url) for url in (*urls, *(configured_urls(chain) if endpoints else ()))]
    if http_url is not None and len(wanted) > 1:
        raise UsageError(f"--http-url: expected one endpoint, found {len(wanted)}")
    found = []
    for url in wanted:
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
