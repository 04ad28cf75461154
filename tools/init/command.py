"""`alphapulse init`: write a configuration for a chain and an endpoint, and check both.

Owns its options and what it says; `template` has the file's text.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from tlv.errors import UsageError
from tlv.nearest import did_you_mean
from tools.command.config_option import DEFAULT_FILE
from tools.command.endpoint_options import checked_websocket
from tools.command.environment import settings_environment
from tools.command.given import refuse_without_effect


@click.command("init", epilog="Example:  alphapulse init --chain polygon --url wss://polygon-bor-rpc.publicnode.com")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False), default=DEFAULT_FILE)
@click.option("--chain", default="polygon", show_default=True, help="polygon, ethereum, base or a TOML file.")
@click.option("--url", metavar="WS", help="WebSocket endpoint of a node.  [default: the chain's public endpoints]")
@click.option("--recorded", is_flag=True, help="Instead of a node's, the bundled recording of Polygon, over and over.")
@click.option(
    "--port", default=8546, show_default=True, type=click.IntRange(1, 65535), help="With --recorded: of its node."
)
@click.option("--ask/--no-ask", default=True, help="Ask the endpoint whether it can feed a collector.  [default: ask]")
@click.option(
    "--wait",
    "wait_s",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.5, 600),
    metavar="SECONDS",
    help="How long to watch the endpoint for blocks.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(
    file: Path, chain: str, url: str | None, recorded: bool, port: int, ask: bool, wait_s: float, as_json: bool
) -> int:
    """Write FILE (default alphapulse.toml), in which every key is explained; no file is replaced.

    It has a collector, a strategy, a watch for anomalies, a recorder with a journal beside the file, and two relays.
    Only its owner can read it, since an endpoint's URL may hold a key.  It is checked as `config check` does, and the
    endpoint as `doctor` does; the exit code is 1 if the endpoint is not fit.
    """
    if file.exists():
        raise UsageError(f"{file}: exists already; name another FILE")
    if not recorded:
        refuse_without_effect("without --recorded", "--port")
    if url is None or not ask:
        refuse_without_effect("where no endpoint is asked: expected --url, and not --no-ask", "--wait")
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # the commands are looked at, and none runs
    from tools.command.checking import mistakes
    from tools.command.config import load_config
    from tools.doctor.command import examine_all
    from tools.doctor.finding import healthy

    if recorded and (url is not None or chain != "polygon"):
        raise UsageError("--recorded: expected neither --url nor --chain with it")
    write_new(
        file, text_of(file, chain, checked_websocket(url) if url is not None else None, port if recorded else None)
    )
    wrong = mistakes(load_config(file, settings_environment(os.environ)))
    if wrong:
        raise UsageError(f"{file} is written, and has mistakes (is it the environment?): " + "\n  ".join(wrong))
    if not as_json:
        click.echo(f"{file} is written and valid; `alphapulse up -c {file}` runs it")
    found = examine_all({url: chain}, None, wait_s, as_json) if url is not None and ask else []
    fit = all(healthy(findings) for _, findings in found)
    if as_json:
        checks = [finding for _, findings in found for finding in findings]
        click.echo(
            msgspec.json.encode({"file": str(file), "valid": True, "endpoint": {"healthy": fit, "checks": checks}})
        )
    return 0 if fit else 1


def text_of(file: Path, chain: str, url: str | None, port: int | None) -> str:
    """The file's text; with `port` that of a pipeline on the recording."""
    from producers.chains.configuration import BUNDLED, load_chain
    from tools.init.template import configuration_file, pipeline, recorded_pipeline

    if port is not None:
        return configuration_file(recorded_pipeline(port))
    if chain not in BUNDLED and not chain.endswith(".toml"):
        expected = f"expected one of {', '.join(BUNDLED)} or a .toml file"
        raise UsageError(f"--chain: {expected}, found {chain!r}{did_you_mean(chain, BUNDLED)}")
    ring = load_chain(chain).ring
    named = chain if chain in BUNDLED else os.path.relpath(chain, file.absolute().parent)
    return configuration_file(pipeline(named, ring, url))


def write_new(file: Path, text: str) -> None:
    """Write a file that only its owner reads.

    Raises:
        UsageError: there is one.
    """
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{file}: exists already; name another FILE") from None
    with os.fdopen(fd, "w", encoding="utf-8") as opened:
        opened.write(text)
