"""`alphapulse reconcile`: are paper fills what the real contracts pay, and is the profit that was reported their sum?

Owns the command line, the reading of executions and orders, and what is printed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec

from consumers.execution.config import ExecutionConfig
from consumers.execution.ledger import Ledger
from consumers.execution.orders import Order, read_order
from consumers.journal import JournalReader
from consumers.parameters import read_parameters
from consumers.polled_frames import PolledFrames
from consumers.progress import watched
from consumers.strategy import Driver
from ringbuf import Loss, Status
from tlv.codes import OrderState
from tlv.errors import FrameError, UsageError
from tlv.layout import CircuitBreaker, CycleLeg, ExecutionReport, Fill, OrderRecord, OrderStatus
from tlv.message import parse
from tlv.record import Record
from tools.anomalies import RECORD_BYTES, bytes_of
from tools.command.given import refuse_without_effect
from tools.command.needs import needs
from tools.command.progress import progress, progress_option
from tools.command.say import say
from tools.command.stderr_log import complain
from tools.dump import DumpedLoss, entries
from tools.evm.seeded_pools import SeededPools
from tools.reconcile_judge import (
    AskedOrder,
    ExplainedParts,
    FeesOfPools,
    FillJudge,
    FillJudgement,
    OrdersAsked,
    PaperAttempt,
    RightlyFailed,
    inconsistencies,
)

TOLD = 20
"""Differences that are printed one by one; the rest are counted."""

PARTS = (
    ("expected", "expected by the orders"),
    ("latency", "latency: the pools had moved before the block"),
    ("fee", "fee: a pool charged another one than before"),
    ("competitors", "competitors: swaps in front of the fill in its block"),
    ("own_fills", "own earlier fills"),
    ("remainder", "unexplained"),
    ("filled", "filled"),
)


@dataclass
class PaperExecutions:
    """The messages of an executor, in the order in which they were published."""

    messages: list[tuple[Record, ...]] = field(default_factory=list)
    attempts: list[PaperAttempt] = field(default_factory=list)
    undone: set[tuple[bytes, int]] = field(default_factory=set)
    """Orders whose block left the chain."""
    lost: int = 0
    unreadable: int = 0

    @classmethod
    def read(cls, found: Iterable[Any]) -> PaperExecutions:
        """From the entries of a ring or journal; messages of other kinds are passed over."""
        read = cls()
        for entry in found:
            if isinstance(entry, DumpedLoss):
                read.lost += entry.last - entry.first + 1
                continue
            try:
                records = parse(entry.data).records
            except FrameError:
                read.unreadable += 1
                continue
            if not records or not isinstance(records[0], OrderRecord | CircuitBreaker):
                continue
            read.messages.append(records)
            report = next((record for record in records if isinstance(record, ExecutionReport)), None)
            if report is not None:
                fills = tuple(record for record in records if isinstance(record, Fill))
                read.attempts.append(PaperAttempt(report, fills))
            for record in records:
                if isinstance(record, OrderStatus) and record.state == OrderState.UNDONE:
                    read.undone.add(_key(record))
        return read


def orders_asked(journals: Iterable[Path], min_gross_percent: int = 0) -> OrdersAsked:
    """The orders in journals of strategies' rings, as an executor with this setting reads them."""
    found: OrdersAsked = {}
    for journal in journals:
        with JournalReader(journal) as reader:
            for frame in reader:
                if isinstance(frame, Loss):
                    continue
                try:
                    order = read_order(frame.payload, reader.uuid, frame.sequence, 0, min_gross_percent)
                except FrameError:
                    continue
                if isinstance(order, Order):
                    found[order.key] = AskedOrder(order, fees_said(frame.payload))
    return found


def fees_said(payload: bytes | memoryview) -> FeesOfPools:
    """The fees that a signal's legs say of their pools; none of an OrderRequest."""
    return {record.pool: record.fee_pips for record in parse(payload).records if isinstance(record, CycleLeg)}


@click.command(
    "reconcile", epilog="Example:  alphapulse reconcile journals/execution.paper --market journals/market.polygon"
)
@click.argument("executions")
@click.option(
    "--market",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Journal of the market ring that was traded on; without it only the sums are checked.",
)
@click.option(
    "--signals-journal",
    "signals",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Journal of the signals and orders that were acted on (repeatable): by what they say failed attempts are "
    "executed, and what a fee that moves has cost is told.",
)
@click.option(
    "--execute-set",
    "execute_sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting that the executor had: share_percent is where failed attempts stood, min_gross_percent what they "
    "accept.",
)
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, amounts as decimal strings.")
@needs("pyrevm", option="--market")
def command(
    executions: str, market: Path | None, signals: tuple[Path, ...], execute_sets: tuple[str, ...], as_json: bool
) -> int:
    """Execute the paper fills in EXECUTIONS, a journal's directory or a ring's name, by the real contracts.

    Each fill is put into its pool's exact state at its own place in its block, which --market tells, and swapped by the
    published code of Uniswap V2, V3 or Algebra inside this process.  What a contract pays otherwise than the fill says
    is told in wei; what an order expected and did not get is split into latency, fee, competitors and own fills, which
    add up.  An attempt that failed is executed by what its order says, and must fail.  Sums the profit again from what
    the contracts paid: `confirmed` if it is the one that was reported.

    The exit code is 1 if a wei is unexplained, a sum is wrong, or an attempt could not be executed.
    """
    if market is None:
        refuse_without_effect("without --market", "--signals-journal", "--execute-set")
    (settings,) = read_parameters(ExecutionConfig, {}, execute_sets, "--execute-set")
    read = PaperExecutions.read(entries(executions, follow=False, latest=False, stop=lambda: False))
    if not read.messages:
        raise UsageError(f"{executions}: expected messages of a paper executor, found none")
    began = time.monotonic()
    judgements = []
    if market is not None:
        asked = orders_asked(signals, settings.min_gross_percent)
        judgements = judge_journal(market, FillJudge(read.attempts, SeededPools(), asked, settings))
    return tell(read, judgements, time.monotonic() - began, executed=market is not None, as_json=as_json)


def judge_journal(market: Path, judge: FillJudge) -> list[FillJudgement]:
    """Execute every attempt at the end of its block in a market journal."""
    with JournalReader(market) as reader:
        driver = Driver(judge, reader.uuid)
        for _ in watched(_delivered(reader, driver), progress("executing", bytes_of(market))):
            pass
    for poison in driver.poison:
        complain("reconcile", f"market frame {poison.sequence}: {poison.reason.splitlines()[-1]}")
    return [*judge.judgements, *judge.rest()]


def _delivered(reader: JournalReader, driver: Driver) -> Iterator[tuple[None, int]]:
    frames = PolledFrames(driver)
    while True:
        poll = reader.poll()
        driver.ring = reader.uuid
        for _ in frames.deliver(poll):
            pass
        yield None, int(poll.lengths.sum()) + len(poll) * RECORD_BYTES
        if poll.status in {Status.EMPTY, Status.CLOSED}:
            return


def recomputed(read: PaperExecutions, judgements: Sequence[FillJudgement]) -> Ledger:
    """The profit, with what the contracts paid in place of what the fills say."""
    paid = {_key(one.attempt.report): one for one in judgements if one.paid}
    ledger = Ledger(ExecutionConfig())
    for records in read.messages:
        report = next((record for record in records if isinstance(record, ExecutionReport)), None)
        judged = paid.get(_key(report)) if report is not None else None
        ledger.take(records if judged is None else _as_paid(records, judged.paid))
    return ledger


def _as_paid(records: Sequence[Record], paid: Sequence[int]) -> list[Record]:
    fills = [record for record in records if isinstance(record, Fill)]
    changed: list[Record] = []
    for record in records:
        match record:
            case Fill():
                changed.append(msgspec.structs.replace(record, amount_out=paid[record.leg - 1]))
            case ExecutionReport():
                spent = fills[0].amount_in if fills[0].token_in == fills[-1].token_out else 0
                amounts = {"amount_out": paid[-1], "gross": paid[-1] - spent, "net": paid[-1] - spent - record.gas_cost}
                changed.append(msgspec.structs.replace(record, **amounts))
            case _:
                changed.append(record)
    return changed


def _key(record: OrderRecord) -> tuple[bytes, int]:
    return record.order_ring, record.order_sequence


def tell(
    read: PaperExecutions, judgements: Sequence[FillJudgement], seconds: float, *, executed: bool, as_json: bool
) -> int:
    """Print differences, the table of the parts, and the sum; the exit code."""
    reported = recomputed(read, ())
    contracts = recomputed(read, judgements)
    wrong = [(one.attempt, text) for one in judgements for text in one.wrong]
    if not executed:
        wrong = [(attempt, text) for attempt in read.attempts for text in inconsistencies(attempt)]
    for attempt, text in wrong[:TOLD]:
        say({"order": _order(attempt), "wrong": text}, f"{_order_text(attempt)}: {text}", as_json)
    unjudged = [one for one in judgements if one.unjudged]
    for one in unjudged[:TOLD]:
        left = {"order": _order(one.attempt), "not_executed": one.unjudged}
        say(left, f"{_order_text(one.attempt)}: not executed: {one.unjudged}", as_json)
    for table in explained(judgements, read.undone):
        say(table, table_text(table), as_json)
    for table in failures(judgements, read.undone):
        say(table, failures_text(table), as_json)
    pnl_agrees = reported.total == contracts.total
    remainder = sum(
        abs(fill.amount_out - out) for one in judgements for fill, out in zip(one.attempt.fills, one.paid, strict=False)
    )
    confirmed = executed and not wrong and not unjudged and pnl_agrees and not (read.lost or read.unreadable)
    line: dict[str, Any] = {
        "attempts": len(read.attempts),
        "filled": sum(attempt.report.state == OrderState.FILLED for attempt in read.attempts),
        "failed": sum(attempt.report.state == OrderState.FAILED for attempt in read.attempts),
        "undone": len(read.undone),
        "executed": len(judgements) - len(unjudged),
        "failed_rightly": sum(one.failed is not None for one in judgements),
        "legs": sum(len(one.paid) + (one.failed.legs if one.failed else 0) for one in judgements),
        "not_executed": len(unjudged) if executed else len(read.attempts),
        "wrong": len(wrong),
        "unexplained_wei": str(remainder),
        "lost": read.lost,
        "unreadable": read.unreadable,
        "pnl": _pnl(reported),
        "pnl_of_contracts": _pnl(contracts) if executed else None,
        "confirmed": confirmed,
        "seconds": round(seconds, 3),
    }
    say(line, _verdict(line, executed), as_json)
    sound = confirmed if executed else not wrong
    return 0 if sound else 1


def explained(
    judgements: Iterable[FillJudgement], undone: Set[tuple[bytes, int]] = frozenset()
) -> list[dict[str, Any]]:
    """For each token that came out: the parts of all orders that had stated what they expected, added up; without
    those that are undone."""
    sums: defaultdict[tuple[bytes, int], list[FillJudgement]] = defaultdict(list)
    for one in judgements:
        if one.parts is not None and _key(one.attempt.report) not in undone:
            sums[one.attempt.report.token, one.attempt.report.decimals].append(one)
    tables = []
    for (token, decimals), judged in sums.items():
        parts = [one.parts for one in judged if one.parts is not None]
        table: dict[str, Any] = {"token": f"0x{token.hex()}", "decimals": decimals, "orders": len(judged)}
        for name in ExplainedParts._fields:
            table[name] = str(sum(getattr(part, name) for part in parts))
        reports = [one.attempt.report for one in judged]
        table["put_in"] = str(sum(one.amount_out - one.gross for one in reports))
        for name in ("gross", "gas_cost", "net"):
            table[name] = str(sum(getattr(one, name) for one in reports))
        tables.append(table)
    return tables


def table_text(table: dict[str, Any]) -> str:
    """The table, in base units of its token."""
    rows = [*PARTS, ("put_in", "put in"), ("gross", "gross"), ("gas_cost", "gas"), ("net", "net")]
    width = max(len(table[name]) for name, _ in rows) + 1
    lines = [f"token {table['token']} ({table['decimals']} decimals), {table['orders']} orders"]
    for name, text in rows:
        amount = table[name]
        if name in ("put_in", "gas_cost"):
            amount = str(-int(amount))
        elif name not in ("expected", "filled", "gross", "net"):
            amount = f"{int(amount):+d}"
        lines.append(f"  {text:<54}{amount:>{width}}")
    return "\n".join(lines)


def failures(judgements: Iterable[FillJudgement], undone: Set[tuple[bytes, int]] = frozenset()) -> list[dict[str, Any]]:
    """For each token that would have come out: the attempts that failed with the contracts, too, without those that are
    undone."""
    sums: defaultdict[tuple[bytes, int], list[tuple[ExecutionReport, RightlyFailed]]] = defaultdict(list)
    for one in judgements:
        report = one.attempt.report
        if one.failed is not None and _key(report) not in undone:
            sums[report.token, report.decimals].append((report, one.failed))
    tables = []
    for (token, decimals), found in sums.items():
        paid = [failed for _, failed in found if failed.given is not None]
        table: dict[str, Any] = {"token": f"0x{token.hex()}", "decimals": decimals, "failed": len(found)}
        table["refused"] = len(found) - len(paid)
        table["accepted"] = str(sum(failed.accepted for failed in paid))
        table["given"] = str(sum(failed.given or 0 for failed in paid))
        table["gas_cost"] = str(sum(report.gas_cost for report, _ in found))
        tables.append(table)
    return tables


def failures_text(table: dict[str, Any]) -> str:
    """The table of failed attempts, in base units of its token."""
    rows = (("accepted", "least that the others accept"), ("given", "what the contracts would have paid them"))
    width = max(len(table[name]) for name in ("accepted", "given", "gas_cost")) + 1
    lines = [
        f"token {table['token']} ({table['decimals']} decimals), {table['failed']} failed attempts, "
        f"{table['refused']} of them refused by a contract"
    ]
    lines += [f"  {text:<54}{table[name]:>{width}}" for name, text in rows]
    lines.append(f"  {'gas':<54}{-int(table['gas_cost'])!s:>{width}}")
    return "\n".join(lines)


def _verdict(line: dict[str, Any], executed: bool) -> str:
    text = f"{line['attempts']} attempts, {line['filled']} filled, {line['failed']} failed, {line['undone']} undone: "
    if not executed:
        return f"{text}sums {'are wrong' if line['wrong'] else 'agree'}; not executed, since --market is not given"
    text += f"{line['executed']} executed by the contracts in {line['legs']} legs, {line['not_executed']} not; "
    text += f"unexplained remainder {line['unexplained_wei']} wei. "
    net, of_contracts = line["pnl"]["net"], line["pnl_of_contracts"]["net"]
    if line["confirmed"]:
        return f"{text}Net profit of {net} wei confirmed"
    told = f" (by what was executed {of_contracts})" if net != of_contracts else ""
    return f"{text}Net profit of {net} wei not confirmed{told}"


def _pnl(ledger: Ledger) -> dict[str, Any]:
    """In wei of the chain's coin."""
    return {name: str(value) for name, value in msgspec.structs.asdict(ledger.total).items()}


def _order(attempt: PaperAttempt) -> dict[str, Any]:
    report = attempt.report
    return {"ring": report.order_ring.hex(), "sequence": report.order_sequence, "block": report.block_number}


def _order_text(attempt: PaperAttempt) -> str:
    report = attempt.report
    return f"order {report.order_sequence} of ring {report.order_ring.hex()[:8]} in block {report.block_number}"


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "reconcile")
