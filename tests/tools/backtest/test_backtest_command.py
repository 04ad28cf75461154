"""`alphapulse backtest`: what it prints, what it refuses, and that nothing is left of it however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from consumers.journal.segment import list_segments
from tests.consumers.backtest.small_market import small_market
from tests.own_mounts import OWN_MOUNTS
from tlv.errors import AlphaPulseError, UsageError
from tools.backtest.command import coin_of, command
from tools.backtest.tables import COIN

BUYER = """
import os, signal, time
import msgspec
from consumers.strategy import Strategy
from tlv.layout import OrderLeg

class BuyerParams(msgspec.Struct, frozen=True):
    units: int = 1
    die: bool = False
    wait: str = ""

class Buyer(Strategy):
    name = {name!r}
    params = BuyerParams

    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        print("made")

    def on_block_end(self, end):
        if self.settings.wait:
            open(self.settings.wait, "a").write(f"{{os.getpid()}}\\n")
            time.sleep(4)
        if self.settings.die and end.number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        coin = bytes.fromhex("0d500b1d8e8ef31e21c99d1db9a6444d3adf1270")
        leg = OrderLeg(bytes([1] * 20), coin, bytes([0xEE] * 20), 1)
        self.order([leg], self.settings.units * 10**18, block_number=end.number, expires_block=end.number + 2)
"""


ODD = """
import numpy as np
from consumers.strategy import Strategy

class Odd(Strategy):
    def on_block_end(self, end):
        self.counts["blocks"] += np.int64(1)
        self.counts["wide"] += 2**70
        self.counts[1, 2] += 1
        self.counts["half"] = np.float64(0.5)
        self.counts["none"] = np.int64(0)
        self.counts["list"] = [lambda: 1]
        self.counts["unpriced"] += 1

class Quits(Strategy):
    def on_block_end(self, end):
        if end.number == 30:
            raise KeyboardInterrupt
"""


def buyer(folder: Path, name: str = "buyer") -> str:
    """A strategy's file."""
    path = folder / "buyer.py"
    path.write_text(BUYER.format(name=name))
    return f"{path}:Buyer"


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound journal of sixty blocks."""
    return small_market(60).write(tmp_path_factory.mktemp("market") / "journal")


def run(*arguments: object) -> tuple[int, list[dict[str, Any]], str]:
    """(exit code, JSON lines, stderr); what it raises is raised."""
    done = CliRunner().invoke(command, [*map(str, arguments), "--json", "--jobs", "2"], standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.return_value or 0, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def start(*arguments: object) -> subprocess.Popen[str]:
    """The command as a process."""
    line = [sys.executable, "-m", "tools.command.main", "backtest", *map(str, arguments), "--no-progress"]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, other than one that waits to be reaped."""
    try:
        return not re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False


def wait_for_lines(path: Path, count: int) -> list[int]:
    """The pids that runs have written into a file, once there are so many."""
    for _ in range(6_000):
        if path.exists() and len(lines := path.read_text().split()) >= count:
            return [int(line) for line in lines]
        time.sleep(0.01)
    raise AssertionError("no run has begun")


def test_run_prints_hashes_and_profit_as_text_of_wei(journal: Path) -> None:
    code, [line], err = run(journal)
    assert (code, err) == (0, "")
    assert (line["complete"], line["missing"]) == (True, [])
    assert re.fullmatch("[0-9a-f]{32}", line["order_hash"]) and re.fullmatch("[0-9a-f]{32}", line["execution_hash"])
    pnl = line["pnl"]
    assert int(pnl["net"]) == int(pnl["gross"]) - int(pnl["gas"]) == int(pnl["by_strategy"]["flash_arbitrage"]["net"])
    assert pnl["filled"] == line["outcomes"]["filled"] > 0
    assert line["private_bytes"] > 0 and line["data_bytes"] > 0
    assert run(journal)[1][0]["order_hash"] == line["order_hash"]


def test_text_says_the_same_in_whole_coins(journal: Path) -> None:
    [line] = run(journal)[1]
    done = CliRunner().invoke(command, [str(journal)])
    assert done.exit_code == 0
    assert line["order_hash"] in done.stdout and line["execution_hash"] in done.stdout
    [shown] = re.findall(r"^net\s+(\S+) coins", done.stdout, re.MULTILINE)
    assert round(float(shown) * 1e6) == round(int(line["pnl"]["net"]) / 1e12)


def test_coin_that_prices_nothing_is_told_with_the_setting(journal: Path) -> None:
    coin = f"0x{'1' * 40}"
    arguments = [str(journal), "--set", "gross=true", "--execute-set", f"wrapped_native={coin}"]
    done = CliRunner().invoke(command, arguments)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("reasons: ")]
    assert f"orders were refused, as no pool gives their tokens a price in the chain's coin, {coin}: set wr" in line
    assert line.endswith(
        "their gas is more than a report can state (their RiskDecisions have a limit): lower gas.tip_wei"
    )


def test_several_strategies_run_side_by_side_each_with_its_hash(journal: Path, tmp_path: Path) -> None:
    reference = buyer(tmp_path)
    code, [both], err = run(journal, "--strategy", "flash_arbitrage", "--strategy", reference, "--set", "units=2")
    assert code == 0 and "made" in err
    assert both["order_hash"] is None
    alone = {name: run(journal, "--strategy", name)[1][0] for name in ("flash_arbitrage",)}
    flash, bought = both["strategies"]
    assert flash["order_hash"] == alone["flash_arbitrage"]["order_hash"]
    assert (bought["orders"], bought["params"]["units"]) == (60, 2)


def test_sweep_runs_every_combination_and_a_run_alone_gives_the_same(journal: Path) -> None:
    code, lines, _ = run(journal, "--sweep", "min_net_wei=0,1000000000000000000", "--sweep", "execute.delay_blocks=1,2")
    assert code == 0
    assert sorted(line["run"] for line in lines) == [0, 1, 2, 3]
    by_set = {tuple(line["set"].values()): line for line in lines}
    [alone] = run(journal, "--set", "min_net_wei=1000000000000000000", "--execute-set", "delay_blocks=2")[1]
    swept = by_set["1000000000000000000", "2"]
    for key in ("order_hash", "execution_hash", "outcomes"):
        assert swept[key] == alone[key]
    assert by_set["0", "1"]["order_hash"] == by_set["0", "2"]["order_hash"]
    assert by_set["0", "1"]["execution_hash"] != by_set["0", "2"]["execution_hash"]


def test_sweep_as_text_is_a_table_with_the_best_run_first(journal: Path) -> None:
    done = CliRunner().invoke(command, [str(journal), "--sweep", "min_net_wei=0,1000000000000000000", "--jobs", "1"])
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    nets = [float(row[1]) for row in rows]
    assert len(rows) == 2 and nets == sorted(nets, reverse=True)


class Reader(HTMLParser):
    """The elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.described = 0
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.described += tag == "desc"
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)


def test_report_is_one_page_with_pictures_and_tables_that_add_up(journal: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    code, lines, _ = run(journal, "--report", report, "--sweep", "min_net_wei=0,1000000000000000000")
    assert code == 0
    assert sorted(path.name for path in report.iterdir()) == [
        *("equity.parquet", "fills.parquet", "orders.parquet", "report.html", "reports.parquet", "runs.parquet")
    ]
    text = (report / "report.html").read_text()
    page = Reader(text)
    assert page.tags.count("svg") == page.described == 10
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    first_page = text[: text.index("</section>")]
    assert "What this assumes" in first_page and "Nothing of the market is missing" in first_page
    by_run = {line["run"]: line for line in lines if "run" in line}
    for number, line in by_run.items():
        equity = [row for row in pq.read_table(report / "equity.parquet").to_pylist() if row["run"] == number]
        assert equity[-1]["equity_wei"] == line["pnl"]["net"]
        assert sum(int(row["change_wei"]) for row in equity) == int(line["pnl"]["net"])
        assert equity[-1]["equity_coins"] == int(line["pnl"]["net"]) / COIN
        reports = [row for row in pq.read_table(report / "reports.parquet").to_pylist() if row["run"] == number]
        net = sum(int.from_bytes(row["net"], "big", signed=True) for row in reports)
        assert net == int(line["pnl"]["net"])  # all in the chain's coin
        assert len(reports) == line["pnl"]["orders"]
    runs = pq.read_table(report / "runs.parquet").to_pylist()
    assert [row["set.min_net_wei"] for row in runs] == ["0", "1000000000000000000"]
    fills = pq.read_table(report / "fills.parquet").to_pylist()
    assert len(fills) == 2 * sum(line["pnl"]["filled"] for line in by_run.values())
    assert pq.read_table(report / "orders.parquet").num_rows == sum(line["signals"] for line in by_run.values())


def test_names_of_users_are_escaped_in_the_page(journal: Path, tmp_path: Path) -> None:
    report = tmp_path / "<i>report"
    reference = buyer(tmp_path, "<b>&x")
    assert run(journal, "--strategy", reference, "--report", report, "--set", 'wait=""')[0] == 0
    text = (report / "report.html").read_text()
    assert "&lt;b&gt;&amp;x" in text and "<b>" not in text


def test_page_of_a_run_without_orders_says_so(journal: Path, tmp_path: Path) -> None:
    huge = 10**40
    assert run(journal, "--set", f"min_net_wei={huge}", "--report", tmp_path / "report")[0] == 0
    text = (tmp_path / "report" / "report.html").read_text()
    assert "none came to an end" in text and "Nothing is known of it." in text


def test_journal_with_a_hole_is_told_everywhere_and_in_the_exit_status(tmp_path: Path) -> None:
    directory = small_market(60).write(tmp_path / "journal", segments=3)
    list_segments(directory)[1].path.unlink()
    code, [line, _], err = run(directory, "--report", tmp_path / "report")
    assert code == 3
    assert line["complete"] is False
    [reason] = line["missing"]
    assert "frames are missing in the journal" in reason and reason in err
    text = (tmp_path / "report" / "report.html").read_text()
    assert reason in text[: text.index("What this assumes")]
    assert f"NOT COMPLETE: {reason}" in CliRunner().invoke(command, [str(directory)]).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "min_net=1"], "parameter min_net: there is none; did you mean min_net_wei?"),
        (["--sweep", "min_net=1,2"], "parameter min_net: there is none"),
        (["--sweep", "execute.delay=1,2"], "parameter delay: there is none"),
        (["--sweep", "min_net_wei=1,01"], "expected int, found '01'"),
        (["--sweep", "gross=true,1"], "expected bool, true or false, found 1"),
        (["--sweep", "gas.tip_wei=5,0x5"], "--sweep: gas.tip_wei=0x5 is the same run as gas.tip_wei=5"),
        (["--execute-set", "delay_blocks=0"], "parameter delay_blocks: expected int >= 1"),
        (["--execute-set", "delay_blocks"], "expected key=value"),
        (["--strategy", "nothing"], "strategy nothing: expected module:Class or file.py:Class"),
        (["--strategy", "flash_arbitrage", "--strategy", "flash_arbitrage"], "expected strategies of different names"),
        (["--set", "min_net_wei=nan"], "parameter min_net_wei"),
        (["--report", "r", "--executions", "r"], "expected two folders beside each other"),
        (["--report", "r", "--executions", "r/below"], "expected two folders beside each other"),
    ],
)
def test_setting_that_is_none_is_refused_before_anything_runs(
    journal: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        run(journal, *arguments)


@pytest.mark.parametrize("jobs", ["0", "-1", "x", "257"])
def test_jobs_that_are_no_number_of_processes_are_refused(journal: Path, jobs: str) -> None:
    done = CliRunner().invoke(command, [str(journal), "--jobs", jobs])
    assert done.exit_code == 2 and "--jobs" in done.stderr


def test_folder_of_a_report_must_be_empty_and_a_folder(journal: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"expected an empty folder, found mine.txt in it"):
        run(journal, "--report", kept)
    assert [path.name for path in kept.iterdir()] == ["mine.txt"]
    for place in (kept / "mine.txt", kept / "mine.txt" / "below"):
        with pytest.raises(UsageError, match="expected a folder, found a file"):
            run(journal, "--report", place)
    with pytest.raises(UsageError, match="cannot make it"):
        run(journal, "--report", "/proc/report")


@pytest.mark.parametrize("what", ["missing", "empty", "file"])
def test_journal_that_is_none_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "empty":
        path.mkdir()
    elif what == "file":
        path.write_text("no journal")
    with pytest.raises(AlphaPulseError, match=f"{path}.*expected (a directory|segment files)"):
        run(path, "--report", tmp_path / "new" / "report", "--orders", tmp_path / "new" / "orders")
    assert not (tmp_path / "new").exists()


def test_folder_for_temporary_files_without_room_is_told_by_name(journal: Path) -> None:
    line = [sys.executable, "-m", "tools.command.main", "backtest", str(journal), "--no-progress"]
    script = 'mount -t tmpfs -o size=16k none /mnt && TMPDIR=/mnt "$@"'
    done = subprocess.run([*OWN_MOUNTS, "sh", "-c", script, "sh", *line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No space left on device; TMPDIR names another folder (/mnt)" in done.stderr


def test_run_without_a_result_leaves_no_journal_of_executions(journal: Path, tmp_path: Path) -> None:
    strategy = ["--strategy", buyer(tmp_path), "--executions", tmp_path / "filled"]
    assert run(journal, *strategy, "--set", "die=true")[0] == 1
    assert not (tmp_path / "filled").exists()
    assert run(journal, *strategy)[0] == 0


def test_counts_of_a_strategy_are_shown_whatever_they_are(journal: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    code, [line], _ = run(journal, "--strategy", f"{tmp_path}/odd.py:Odd")
    assert code == 0
    counts = line["strategies"][0]["counts"]
    assert counts.pop("list").startswith("[")
    assert counts == {"blocks": 60, "wide": 60 * 2**70, "(1, 2)": 60, "half": 0.5, "unpriced": 60}
    assert CliRunner().invoke(command, [str(journal), "--strategy", f"{tmp_path}/odd.py:Odd"]).exit_code == 0


def test_interrupt_that_a_strategy_raises_is_a_fault_of_its_own(journal: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    code, [line], _ = run(journal, "--strategy", f"{tmp_path}/odd.py:Quits")
    assert (code, line["strategies"][0]["poisoned"]) == (0, 1)
    assert "KeyboardInterrupt" in line["missing"][0] and "odd.py" in line["missing"][0]


def test_process_of_a_run_that_is_killed_costs_that_run_alone(journal: Path, tmp_path: Path) -> None:
    code, lines, err = run(
        journal, "--strategy", buyer(tmp_path), "--sweep", "die=true,false", "--report", tmp_path / "r"
    )
    assert code == 1
    by_run = {line["run"]: line for line in lines if "run" in line}
    assert by_run[0] == {"run": 0, "set": {"die": "true"}, "error": "its process was ended by SIGKILL"}
    assert by_run[1]["orders"] == 60
    assert "run 0 die=true failed" in err
    assert "run 0: its process was ended by SIGKILL" in (tmp_path / "r" / "report.html").read_text()


def test_interrupt_ends_all_processes_and_leaves_no_report(journal: Path, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    report = tmp_path / "report"
    arguments = ["--strategy", buyer(tmp_path), "--set", f"wait={note}", "--sweep", "units=1,2", "--jobs", "2"]
    process = start(journal, *arguments, "--report", report)
    pids = wait_for_lines(note, 2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert not any(map(is_alive, pids))
    assert not report.exists()


def test_processes_of_runs_end_with_a_parent_that_is_killed(journal: Path, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    process = start(journal, "--strategy", buyer(tmp_path), "--set", f"wait={note}")
    [pid, *_] = wait_for_lines(note, 1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    for _ in range(6_000):
        if not is_alive(pid):
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} is left")


def test_strategies_with_coins_of_their_own_need_to_be_told_the_executors(tmp_path: Path) -> None:
    coins = [f"wrapped_native=0x{digit * 40}" for digit in "12"]
    for executor in ([], ["share_percent=0"]):
        with pytest.raises(UsageError, match=r"wrapped_native: expected one .* found 0x1+ and 0x2+$"):
            coin_of([[one] for one in coins], executor)
    assert coin_of([[one] for one in coins], ["wrapped_native=0x3"]) == []
    assert coin_of([coins[:1], coins[:1]], []) == coin_of([[], coins[:1]], []) == coins[:1]
