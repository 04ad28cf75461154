"""The rows of the fault table that need real processes, at the sizes promised there."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import mmap
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from tools.prove.ring.campaigns import ring_proofs
from tools.prove.ring.command import ring, run_to_its_end
from tools.prove.ring.guard import guarded_words
from tools.prove.ring.signals import prove_cold_starts
from tools.rig.outcome import Outcome
from tools.rig.processes import reap, reap_within, spawn

MODELS = {"crash images", "schedules", "mutants"}  # in tests/model
FORKING = {"kills", "dead readers", "creation", "one writer", "short restart", "races", "leaks"}
"""They fork up to a thousand times each.  A fork copies the page tables: with what the child does, 33 and 22 ms of
processor time from a process of 400 MB that has run other tests, 15 and 9 from one of their own."""
SEED = 20_240_607


def proven_in_a_process_of_its_own(name: str) -> Outcome:
    """What `alphapulse prove ring` says of this proof."""
    command = ["-m", "tools.command.main", "prove", "ring", "--json", "--seed", str(SEED), "--only", name]
    ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert ran.stdout, ran.stderr
    return Outcome(**json.loads(ran.stdout))


@pytest.mark.parametrize("name", [name for name in ring_proofs(SEED) if name not in MODELS])
def test_ring_campaign_keeps_its_promise(name: str, tell: Callable[[str], None]) -> None:
    """P1, P2, P3, P4, P5 and P9 with real processes; records and positions (I4) in rows 5, 6 and 19."""
    outcome = proven_in_a_process_of_its_own(name) if name in FORKING else ring_proofs(SEED)[name]()
    tell(outcome.line())
    assert outcome.passed, outcome.line()


@pytest.mark.soak
def test_cold_starts_for_long(tell: Callable[[str], None]) -> None:
    outcome = prove_cold_starts(8, 50)
    tell(outcome.line())
    assert outcome.passed, outcome.line()


def test_prove_ring_command_with_json_prints_one_object_per_proof() -> None:
    ran = CliRunner().invoke(ring, ["--only", "attach", "--only", "baits", "--json", "--seed", "1"])
    assert ran.exit_code == 0, ran.output
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [row["row"] for row in rows] == [17, 14] and all(row["passed"] for row in rows)
    assert ran.stderr == ""


def test_prove_ring_command_says_on_stderr_which_proof_runs() -> None:
    ran = CliRunner().invoke(ring, ["--only", "baits", "--only", "attach"])
    assert ran.stderr == "proving baits (1 of 2) ...\nproving attach (2 of 2) ...\n"
    assert [line.split(":")[0] for line in ran.stdout.splitlines()] == ["row 14", "row 17"]


def test_prove_ring_command_goes_on_after_a_proof_that_broke_off() -> None:
    def break_off() -> Outcome:
        raise TimeoutError("the processes did not get that far")

    outcome = run_to_its_end("kills", break_off, 7)
    assert not outcome.passed and outcome.seed == 7
    assert outcome.summary == "broke off: TimeoutError: the processes did not get that far"


def test_child_that_hangs_is_noticed_and_ended() -> None:
    assert reap_within(spawn(signal.pause), 0.05) == -signal.SIGKILL
    assert reap_within(spawn(lambda: None), 30.0) == 0


@pytest.mark.parametrize("word", [-1, mmap.PAGESIZE // 8])
def test_one_word_beside_guarded_memory_is_a_fault(word: int) -> None:
    words = guarded_words(mmap.PAGESIZE)
    words[0] = words[-1] = 5
    address = words.ctypes.data + 8 * word

    def trespass() -> None:
        faulthandler.disable()  # the fault is expected
        ctypes.string_at(address, 1)

    assert reap(spawn(trespass)) == -signal.SIGSEGV


def test_prove_ring_command_with_unknown_name_is_a_usage_error() -> None:
    ran = CliRunner().invoke(ring, ["--only", "luck"])
    assert ran.exit_code == 2 and "no proof named luck" in ran.output
