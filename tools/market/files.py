"""What a market leaves in a folder for who wants to run the pipeline on it: three small files, written anew each time.

chain.toml       the chain, for `alphapulse collect --chain`
arbitrage.toml   which token is the coin, for `alphapulse strategy --arbitrage`
alphapulse.toml  a collector, a strategy, a paper executor and a dashboard's server on it, for `alphapulse up`
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tlv.errors import UsageError
from tools.market.chain_file import market_chain_file
from tools.market.place import MarketPlace

MARK = "# Of a running `alphapulse market`: written anew by the next.\n"
CHAIN, ARBITRAGE, CONFIG = "chain.toml", "arbitrage.toml", "alphapulse.toml"
STATE = "state.json"
"""Of the configured collector; of a market that is over it is of no use."""
WAIT_S = 60


class MarketRings(NamedTuple):
    """The rings that the files name."""

    market: str
    signals: str
    execution: str

    @classmethod
    def beside(cls, market: str) -> MarketRings:
        """The others are named after the market's: market.local, signal.local, execution.local."""
        before, _, name = market.rpartition("market.")
        return cls(market, f"{before}signal.{name}", f"{before}execution.{name}")


def write_files(folder: Path, place: MarketPlace, url: str, rings: MarketRings, dashboard: int) -> None:
    """Write all three; `dashboard` is the port of the configured one.

    Raises:
        UsageError: one of the names is taken by a file that no market wrote.
    """
    texts = {
        CHAIN: market_chain_file(place, url, rings.market),
        ARBITRAGE: f'[arbitrage]\nwrapped_native = "{place.coin}"\n[arbitrage.gas]\ntip_wei = 0\n',
        CONFIG: configuration(place.coin, rings, dashboard),
    }
    for name in texts:
        check_ours(folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATE).unlink(missing_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(MARK + text)


def check_ours(path: Path) -> None:
    """Refuse to write over what somebody else wrote.

    Raises:
        UsageError: it is there, and no market wrote it.
    """
    if path.is_dir() or (path.exists() and not path.read_bytes().startswith(MARK.encode())):
        raise UsageError(f"{path}: is there already, and not of a market; name another folder with --files")


def remove_files(folder: Path) -> None:
    """Take away what `write_files` wrote, and the folder if nothing else is in it."""
    for name in (CHAIN, ARBITRAGE, CONFIG, STATE):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def configuration(coin: str, rings: MarketRings, dashboard: int) -> str:
    """Of the pipeline; paths are relative to the file."""
    market, signals, execution = rings
    return f"""[collector]
chain = "{CHAIN}"
ring = "{market}"
watch_ticks = ["all"]
pool_cache = "none"
state = "{STATE}"

[strategy]
ring = "{market}"
signals = "{signals}"
arbitrage = "{ARBITRAGE}"
wait_for_ring = {WAIT_S}

[execute]
ring = "{market}"
signals = ["{signals}"]
execution = "{execution}"
wait_for_ring = {WAIT_S}
set = ["wrapped_native={coin}", "gas.tip_wei=0"]

[obs]
port = {dashboard}
ring = ["{market}", "{signals}", "{execution}"]
"""
