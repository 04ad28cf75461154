"""`alphapulse strategy`: run strategies, those that come with AlphaPulse or one's own, on a ring, a relay or a journal.

Owns the command line, the ready line and the statistics it leaves behind; how a strategy is found stands in
`consumers.loading`, how it runs in `consumers.runner`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from consumers import waiting
from consumers.arbitrage.config import read_config
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.arbitrage.warm import warm
from consumers.host import containing, noting_interrupts, open_runner
from consumers.journal import JournalReader
from consumers.loading import AnyStrategy, load_strategy, make_strategy
from consumers.native.runner import NativeRunner
from consumers.parameters import split_set
from consumers.relay.errors import RelayUnreachable
from consumers.relay_frames import RelayFrames
from consumers.runner import Runner, StrategyCounts, run_together
from consumers.symbols import Census, SymbolFilter, take_census, with_states
from consumers.watchdog import LIMIT_S
from ringbuf import Reader, Wait
from tlv.arguments import check_seconds
from tlv.errors import AlphaPulseError, UsageError
from tlv.filter import MessageFilter
from tlv.layout import LAYOUT_DIGEST
from tools.command.config_option import config_option
from tools.command.counting import counters_beside
from tools.command.given import is_given, refuse_without_effect
from tools.command.say import say
from tools.command.service import SERVICE_MANAGER
from tools.command.start import StartType
from tools.command.stderr_log import complain, tell_operator
from tools.command.table_option import TableType
from tools.command.waiting import await_journal, wait_for_ring_option, when_there
from tools.strategy_text import sentence_of, statistics_of

EXIT_STOPPED = 1
"""The exit status if a strategy was stopped, or could not go on."""
EXIT_LOST = 3
"""The exit status of a strategy that did not see every frame."""
DEFAULT = "flash_arbitrage"
MOST_LIMIT_S = 3600.0


@click.command("strategy", epilog="Example:  alphapulse strategy drift.py:Drift --set threshold_pips=500 --json")
@config_option(required=False, handed_over=False)
@click.argument("strategies", nargs=-1, metavar="[STRATEGY]...")
@click.option("--run", multiple=True, metavar="STRATEGY", help="The same, for a configuration (repeatable).")
@click.option(
    "--params",
    type=TableType(),
    metavar="FILE",
    help="Parameters: a table [strategy.params] of the configuration, or here a TOML file.",
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One parameter, over those (repeatable).")
@click.option("--ring", default="market.polygon", show_default=True, help="Ring to read.")
@click.option(
    "--relay", type=click.Path(path_type=Path), metavar="SOCKET", help="Read what this relay serves instead of a ring."
)
@click.option(
    "--reliable",
    is_flag=True,
    help="Have the ring's writer wait for this strategy, for a bounded time; a relay send what its journal has.",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, file_okay=False),
    help="Read this journal instead of a ring, every frame of it, and end with it.",
)
@click.option(
    "--follow", is_flag=True, help="With --journal: go on with what is recorded from now on; it may be begun later."
)
@click.option(
    "--signals",
    metavar="RING",
    help="Ring to publish into; of several strategies, what their rings' names begin with.  [default: signal.NAME]",
)
@click.option(
    "--signals-journal",
    type=click.Path(path_type=Path, file_okay=False),
    help="Journal of that ring: what it holds is not published again, either.",
)
@click.option(
    "--symbol", "symbols", multiple=True, metavar="A/B", help="Only pools of these tokens, or of this one (repeatable)."
)
@click.option("--pool", "pools", multiple=True, metavar="0x...", help="Only this pool (repeatable).")
@click.option("--token", "tokens", multiple=True, metavar="0x...", help="Only pools of this token (repeatable).")
@click.option("--venue", "venues", multiple=True, metavar="NAME", help="Only pools of this venue (repeatable).")
@click.option(
    "--handler-limit",
    type=click.FloatRange(0, MOST_LIMIT_S),
    default=LIMIT_S,
    show_default=True,
    metavar="SECONDS",
    help="Stop a strategy that does not return from a method for so long; 0: never.",
)
@click.option(
    "--arbitrage",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file with an [arbitrage] table: costs, thresholds, tokens to leave alone.",
)
@click.option("--gross", is_flag=True, help="Signal whatever earns before gas, also if gas eats it.")
@click.option(
    "--start",
    type=StartType(),
    default="oldest",
    show_default=True,
    help="Read what is still in the ring, to know the pools at once, or only what comes.",
)
@wait_for_ring_option
@click.option(
    "--wait",
    "wait_mode",
    type=click.Choice([mode.value for mode in Wait]),
    default=Wait.BACKOFF.value,
    show_default=True,
    help="How to pass the time between frames: spin takes a core and reacts first, futex sleeps.",
)
@click.option(
    "--until-closed", is_flag=True, help="End when the ring is closed, or its recording, and read to its end."
)
@click.option("--stats-json", type=click.Path(path_type=Path, dir_okay=False), help="Write statistics here at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    strategies: tuple[str, ...],
    run: tuple[str, ...],
    params: dict[str, Any] | None,
    sets: tuple[str, ...],
    ring: str,
    relay: Path | None,
    reliable: bool,
    journal: Path | None,
    follow: bool,
    signals: str | None,
    signals_journal: Path | None,
    symbols: tuple[str, ...],
    pools: tuple[str, ...],
    tokens: tuple[str, ...],
    venues: tuple[str, ...],
    handler_limit: float,
    arbitrage: Path | None,
    gross: bool,
    start: Literal["oldest", "latest"] | int,
    wait_for_ring: float | None,
    wait_mode: str,
    until_closed: bool,
    stats_json: Path | None,
    as_json: bool,
) -> int:
    """Run strategies, each publishing its signals and orders into a ring of its own.

    STRATEGY is module:Class or path/file.py:Class, plain or native; without one it is flash_arbitrage, which looks for
    cycles through two and three pools that earn more than fees and gas.  Parameters are those that the class declares;
    with several strategies they are named NAME.KEY, after the strategy's name.

    What a method raises is about its frame alone, and told; a strategy that keeps raising, emits without end or does
    not return is stopped, and the others go on.  Started again it publishes nothing that its ring already holds.

    At the end each prints what became of everything; no signal is a result too.  If frames were lost it says so on
    stderr, and the exit status is 3; it is 1 if a strategy was stopped.
    """
    source = MarketSource(ring, relay, journal, follow, reliable, start, until_closed)
    source.check()
    check_seconds("--handler-limit", handler_limit)
    if stats_json is not None and not stats_json.parent.is_dir():
        raise UsageError(f"--stats-json {stats_json}: expected a folder {stats_json.parent}, found none")
    references = strategies or run or (DEFAULT,)
    classes = [load_strategy(reference) for reference in references]
    names = [cls.name for cls in classes]
    rings = signal_rings(names, signals)
    if ring in rings and relay is None and journal is None:
        raise UsageError(f"--signals: expected another ring than --ring, found {ring} for both")
    if signals_journal is not None and len(rings) > 1:
        raise UsageError(f"--signals-journal: expected one strategy, found {len(rings)}")
    tables, texts = parameters_by_name(names, params or {}, sets)
    for name, cls in zip(names, classes, strict=True):
        if issubclass(cls, FlashArbitrage):
            tables[name] = arbitrage_table(arbitrage, gross) | tables[name]
        elif len(classes) == 1:
            refuse_without_effect("but with flash_arbitrage", "--arbitrage", "--gross")
    made = [make_strategy(cls, tables[cls.name], texts[cls.name]) for cls in classes]
    chosen = Chosen(symbols, MessageFilter.of(pools=pools, tokens=tokens, venues=venues), start == "oldest")
    hosted: list[Hosted] = []
    with ExitStack() as stack:
        asked = partial(look, stack.enter_context(noting_interrupts()), SERVICE_MANAGER.turned)
        if any(isinstance(strategy, FlashArbitrage) for strategy in made):
            warm()
        if journal and follow and not await_journal("strategy", journal, wait_for_ring, asked):
            return 0
        for strategy, into in zip(made, rings, strict=True):
            one = Hosted(strategy, into, stack.enter_context(ExitStack()))
            reader = source.open(one, chosen, wait_for_ring, asked)
            if reader is None:
                return 0
            one.runner = open_runner(
                one.stack,
                strategy,
                reader,
                into,
                signals_journal=signals_journal,
                wait=Wait(wait_mode),
                shared=one.stack.enter_context(counters_beside(StrategyCounts, into, "strategy")),
                wanted=chosen.of(strategy),
            )
            hosted.append(one)
        say(*ready(source, hosted), as_json)
        runners = [one.runner for one in hosted if one.runner is not None]
        try:
            with containing(runners, handler_limit) as watch:
                stop, ended = partial(look, asked, watch), partial(note_end, hosted, source)
                run_together(runners, stop, ended, until_closed=until_closed, follow=journal is None or follow)
        finally:
            found = [one.statistics() for one in hosted]
            for one, statistics in zip(hosted, found, strict=True):
                named = "" if len(found) == 1 else f"{one.strategy.name}: "
                say(statistics, named + sentence_of(statistics), as_json)
                if statistics["lost"]:
                    text = f"{statistics['lost']} frames of {source.shown} were lost"
                    tell_operator(f"strategy: {named}{text}", text, **source.named, strategy=one.strategy.name)
            if stats_json:
                stats_json.write_bytes(msgspec.json.encode(found[0] if len(found) == 1 else {"strategies": found}))
    if any(one.failed for one in hosted):
        return EXIT_STOPPED
    return EXIT_LOST if any(statistics["lost"] for statistics in found) else 0


@dataclass
class MarketSource:
    """Where frames come from."""

    ring: str
    relay: Path | None
    journal: Path | None
    follow: bool
    reliable: bool
    start: Literal["oldest", "latest"] | int
    until_closed: bool

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            UsageError: naming them.
        """
        if self.journal is None and self.follow:
            raise UsageError("--follow: expected --journal; a ring is always followed")
        for option, value in (("--relay", self.relay), ("--journal", self.journal)):
            if value is not None and is_given("--ring"):
                raise UsageError(f"--ring and {option}: expected one of them, found both")
        if self.relay is not None and self.journal is not None:
            raise UsageError("--relay and --journal: expected one of them, found both")
        if self.journal is not None and self.reliable:
            raise UsageError("--reliable: a journal needs no writer that waits; nothing of it is lost")
        if self.relay is not None and isinstance(self.start, int):
            raise UsageError(f"--start: expected oldest or latest with --relay, found {self.start}")
        if self.relay is not None or self.journal is not None:
            refuse_without_effect("with --journal or --relay", "--wait")
        if self.journal is not None and not self.follow:
            refuse_without_effect("with --journal but with --follow", "--wait-for-ring")

    @property
    def named(self) -> dict[str, Any]:
        """As JSON names it."""
        if self.relay is not None:
            return {"relay": str(self.relay)}
        return {"ring": self.ring} if self.journal is None else {"journal": str(self.journal)}

    @property
    def shown(self) -> str:
        """For a person."""
        return str(self.relay or self.journal or self.ring)

    def open(
        self, hosted: Hosted, chosen: Chosen, limit_s: float | None, asked: Callable[[], bool]
    ) -> Reader | JournalReader | RelayFrames | None:
        """A reader for one strategy, which its stack closes; None if asked to stop before there is a ring."""
        if self.relay is not None:
            name = hosted.strategy.name if self.reliable else ""
            wanted = chosen.static(hosted.strategy)
            place: Literal["latest", "oldest"] = "latest" if self.start == "latest" else "oldest"
            make = partial(
                RelayFrames, self.relay, name=name, start=place, wanted=wanted, reconnect=not self.until_closed
            )
            client = relay_when_there(self.relay, limit_s, asked, make)
            return None if client is None else hosted.stack.enter_context(client)
        if self.journal is not None:
            chosen.look_at_journal(hosted.strategy, self.journal)
            return hosted.stack.enter_context(JournalReader(self.journal, start=self.start))
        attach = partial(
            Reader.attach, self.ring, start=self.start, layout_digest=LAYOUT_DIGEST, reliable=self.reliable
        )
        reader = when_there("strategy", self.ring, limit_s, asked, attach)
        if reader is None:
            return None
        chosen.look_at_ring(hosted.strategy, self.ring)
        return hosted.stack.enter_context(reader)


def relay_when_there(
    path: Path, limit_s: float | None, asked: Callable[[], bool], make: Callable[[], RelayFrames]
) -> RelayFrames | None:
    """A relay's client, as soon as the relay listens; None if asked to stop before.

    Raises:
        RelayUnreachable: nobody listens there after `limit_s`.
    """
    say_so = partial(complain, "strategy", f"waiting for relay {path}: nobody listens there yet", socket=str(path))
    try:
        return waiting.when_there(make, limit_s, asked, say_so, absent=(RelayUnreachable,))
    except RelayUnreachable:
        if asked():
            return None
        raise


@dataclass
class Chosen:
    """Which messages are wanted beyond what a strategy's class says: symbols, and a filter."""

    symbols: tuple[str, ...]
    filter: MessageFilter
    from_the_beginning: bool
    """Whether the states that say what symbols mean are read with everything else, in their order."""
    census: Census = field(default_factory=Census)

    def static(self, strategy: AnyStrategy) -> MessageFilter:
        """What is known to be wanted before any symbol is: for a relay, which filters at its end."""
        if not self.symbols_of(strategy):
            return MessageFilter.of(types=strategy.wants).updated(self.filter)
        return with_states(MessageFilter.of(types=strategy.wants).updated(self.filter))

    def symbols_of(self, strategy: AnyStrategy) -> tuple[str, ...]:
        """The symbols: those of the command line, else those that the class declares."""
        return self.symbols or tuple(sorted(getattr(strategy, "symbols", ())))

    def of(self, strategy: AnyStrategy) -> MessageFilter | SymbolFilter | None:
        """The whole filter; None for what the class says alone."""
        symbols, base = self.symbols_of(strategy), MessageFilter.of(types=strategy.wants).updated(self.filter)
        if symbols:
            found = SymbolFilter(symbols, base)
            for state in () if self.from_the_beginning else self.census.states.values():
                found.learn(state)
            return found
        return None if self.filter == MessageFilter() else base

    def look_at_ring(self, strategy: AnyStrategy, ring: str) -> None:
        """Refuse symbols that several tokens in a ring bear; note its pools."""
        if symbols := self.symbols_of(strategy):
            with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
                self.census = take_census(iter(reader.poll, None))
            self.census.check(symbols, f"ring {ring}", complete=False)

    def look_at_journal(self, strategy: AnyStrategy, journal: Path) -> None:
        """Refuse symbols that several tokens in a journal bear, or none; note its pools."""
        if symbols := self.symbols_of(strategy):
            with JournalReader(journal) as reader:
                self.census = take_census(iter(reader.poll, None))
            self.census.check(symbols, f"journal {journal}", complete=True)


@dataclass(eq=False)
class Hosted:
    """A strategy at work, and what is open for it."""

    strategy: AnyStrategy
    signals: str
    stack: ExitStack
    runner: Runner | NativeRunner | None = None
    failed: bool = False
    began: float = field(default_factory=time.monotonic)

    def statistics(self) -> dict[str, Any]:
        """What it did."""
        assert self.runner is not None
        return statistics_of(self.runner, time.monotonic() - self.began)


def note_end(
    hosted: Sequence[Hosted], source: MarketSource, runner: Runner | NativeRunner, error: AlphaPulseError | None
) -> None:
    """One of them has ended, or failed: then say why, and close its ring, by which readers know."""
    one = next(one for one in hosted if one.runner is runner)
    if error is not None:
        one.failed = True
        tell_operator(f"strategy: error: {error}", str(error), **source.named, strategy=one.strategy.name)
        one.stack.close()


def ready(source: MarketSource, hosted: Sequence[Hosted]) -> tuple[dict[str, Any], str]:
    """The line that says that everything is open."""
    if len(hosted) == 1:
        text = f"reading {source.shown}, publishing to {hosted[0].signals}"
        return {"ready": True, **source.named, "signals": hosted[0].signals}, text
    rows = [{"strategy": one.strategy.name, "signals": one.signals} for one in hosted]
    text = f"reading {source.shown}, publishing to {', '.join(one.signals for one in hosted)}"
    return {"ready": True, **source.named, "strategies": rows}, text


def signal_rings(names: Sequence[str], signals: str | None) -> list[str]:
    """The ring of each strategy.

    Raises:
        UsageError: two strategies have one name, and so would have one ring and the same ids.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{len(names)} strategies, and two are named {twice!r}: give each class a name of its own")
    if signals is not None and len(names) == 1:
        return [signals]
    return [f"{signals or 'signal'}.{name}" for name in names]


def rings_of(references: Iterable[str], signals: str | None) -> list[str]:
    """The rings that a process with these options publishes into; a strategy of one's own is loaded for its name.

    Raises:
        UsageError: a strategy cannot be loaded.
    """
    references = tuple(references) or (DEFAULT,)
    if signals is not None and len(references) == 1:
        return [signals]
    names = [reference if reference == DEFAULT else load_strategy(reference).name for reference in references]
    return signal_rings(names, signals)


def parameters_by_name(
    names: Sequence[str], params: Mapping[str, Any], sets: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """The table and the texts of each strategy; of several they are named by the strategy.

    Raises:
        UsageError: a key names none of several strategies.
    """
    if len(names) == 1:
        return {names[0]: dict(params)}, {names[0]: list(sets)}
    tables: dict[str, dict[str, Any]] = {name: {} for name in names}
    texts: dict[str, list[str]] = {name: [] for name in names}
    there = f"with several strategies expected NAME.KEY, NAME one of {', '.join(names)}"
    for name, table in params.items():
        if name not in tables or not isinstance(table, Mapping):
            raise UsageError(f"parameters: {there}; found {name}")
        tables[name] = dict(table)
    for text in sets:
        key, value = split_set(text, "parameters")
        meant = max((name for name in names if key.startswith(f"{name}.")), key=len, default=None)
        if meant is None:
            raise UsageError(f"--set {key}: {there}")
        texts[meant].append(f"{key.removeprefix(f'{meant}.')}={value}")
    return tables, texts


def arbitrage_table(path: Path | None, gross: bool) -> dict[str, Any]:
    """What `--arbitrage` and `--gross` say, as parameters."""
    table: dict[str, Any] = {}
    if path is not None:
        table = msgspec.to_builtins(read_config(_text(path), str(path)))
    return table | {"gross": True} if gross else table


def look(asked: Callable[[], bool], first: Callable[[], object]) -> bool:
    """Whether `asked` says so, after `first` was called."""
    first()
    return asked()


def _text(config: Path) -> str:
    try:
        return config.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{config}: not UTF-8 at byte {error.start}") from None


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "strategy")
