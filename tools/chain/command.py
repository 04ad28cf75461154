"""`alphapulse chain`: the commands.  Owns their options and their two forms of output."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from tlv.errors import UsageError
from tools.command.endpoint_options import checked_websocket
from tools.command.spelling import SpellingGroup
from tools.doctor.finding import CheckResult, Verdict, healthy

if TYPE_CHECKING:
    from producers.chains.configuration import ChainConfig
    from producers.chains.keys import Mistake

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
DEVELOPMENT_CHAIN_ID = 31337
"""What anvil and Hardhat serve unless told otherwise."""


@click.group("chain", cls=SpellingGroup, epilog="Example:  alphapulse chain new mychain --url ws://127.0.0.1:8545")
def command() -> None:
    """Write and prove the file of a chain of your own, for `collect --chain FILE` (docs/own-chain.md)."""


@command.command("new", epilog="Example:  alphapulse chain new mychain --url ws://127.0.0.1:8545")
@click.argument("name")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="[default: NAME.toml here]"
)
@click.option(
    "--chain-id",
    type=click.IntRange(1),
    metavar="N",
    help=f"What the node answers to eth_chainId.  [default: asked at --url, else {DEVELOPMENT_CHAIN_ID}]",
)
@click.option("--url", metavar="WS", help="A node of the chain: it is asked for chain id and first block.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def new(name: str, output: Path | None, chain_id: int | None, url: str | None, as_json: bool) -> int:
    """Write a commented chain file for the chain NAME; no file is replaced.

    Every key is explained, and enumerations are listed.  What is left to fill in are its factories.
    """
    from tools.chain.template import chain_file

    if not NAME.fullmatch(name):
        raise UsageError(f"NAME: expected a-z, 0-9 and _, beginning with a letter, found {name!r}")
    found_id, genesis = asyncio.run(_asked(checked_websocket(url))) if url is not None else (None, None)
    if None not in (found_id, chain_id) and found_id != chain_id:
        raise UsageError(f"--chain-id: the node at --url serves chain {found_id}, found {chain_id}")
    wanted = chain_id or found_id or DEVELOPMENT_CHAIN_ID
    path = output or Path(f"{name}.toml")
    text = chain_file(name, wanted, genesis, url, "ETHEREUM_COLLECTOR")
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path}: exists already; give another --output") from None
    if as_json:
        click.echo(msgspec.json.encode({"file": str(path), "chain_id": wanted, "genesis": genesis}))
        return 0
    click.echo(f"{path} is written: chain {wanted}" + (f", block 0 is {genesis}" if genesis else ""))
    click.echo(
        f"Fill in its [[factories]], then:  alphapulse chain check {path} --url {'WS' if url is None else '...'}"
    )
    return 0


@command.command("check", epilog="Example:  alphapulse chain check mychain.toml --url ws://127.0.0.1:8545 --json")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--url", metavar="WS", help="Prove the file against this node too.")
@click.option("--pool", "pools", multiple=True, metavar="ADDRESS", help="A pool that must be a factory's; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(file: Path, url: str | None, pools: tuple[str, ...], as_json: bool) -> int:
    """Check FILE (or a bundled chain), and with --url prove it against a node.

    Every mistake is named at once, by its key.  The node is asked for chain id and early block, whether each factory
    is a contract, and whether one pool of each stands at the address that deployer and init code hash give it, or that
    the factory's lookup answers.  The exit code is 1 if anything is wrong.
    """
    from tlv.addresses import read_address

    if pools and url is None:
        raise UsageError("--pool: expected --url with it")
    if url is not None:
        checked_websocket(url)
    try:
        wanted = tuple(map(read_address, pools))
    except ValueError as error:
        raise UsageError(f"--pool: {error}") from None
    chain, mistakes = _read(file)
    report: dict[str, object] = {"file": str(file), "mistakes": [mistake._asdict() for mistake in mistakes]}
    if chain is None:
        if as_json:
            click.echo(msgspec.json.encode({"valid": False, **report, "checks": []}))
            return 1
        for mistake in mistakes:
            click.echo(CheckResult(mistake.key, Verdict.FAIL, mistake.text).line)
        click.echo(f"{file}: {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}")
        return 1
    if not as_json:
        click.echo(CheckResult("file", Verdict.OK, summary(chain)).line)
    findings = asyncio.run(_proven(url, chain, wanted, as_json)) if url is not None else []
    valid = healthy(findings)
    if as_json:
        click.echo(msgspec.json.encode({"valid": valid, **report, "checks": findings}))
    return 0 if valid else 1


def _read(file: Path) -> tuple[ChainConfig | None, list[Mistake]]:
    from producers.chains.configuration import BUNDLED, load_chain, read_chain

    if str(file) in BUNDLED:
        return load_chain(str(file)), []
    try:
        return read_chain(file.read_bytes(), file.parent)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None


def summary(chain: ChainConfig) -> str:
    """What a file that can be used describes."""
    protocols = ", ".join(sorted({factory.protocol for factory in chain.factories}))
    pools = f"{len(chain.factories)} factories ({protocols})" if chain.factories else "no factories"
    return f"chain {chain.chain_id} ({chain.name}), {pools}, ring {chain.ring}"


async def _asked(url: str) -> tuple[int, str | None]:
    """Chain id and hash of block 0, as a node says."""
    from tools.chain.proof import TIMEOUT_S, ask_chain_id, ask_hash
    from tools.rig.endpoint import Endpoint

    async with Endpoint(url, timeout_s=TIMEOUT_S) as endpoint:
        return await ask_chain_id(endpoint), await ask_hash(endpoint, 0)


async def _proven(url: str, chain: ChainConfig, pools: tuple[str, ...], as_json: bool) -> list[CheckResult]:
    """Every finding, shown as it comes unless all is JSON."""
    from producers.node.errors import EndpointError
    from tools.chain.proof import prove

    findings = []
    try:
        async for finding in prove(url, chain, pools):
            findings.append(finding)
            if not as_json:
                click.echo(finding.line)
    except EndpointError as error:
        findings.append(CheckResult("connection", Verdict.FAIL, str(error), "is the URL right, and does the node run?"))
        if not as_json:
            click.echo(findings[-1].line)
    return findings


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "chain")
