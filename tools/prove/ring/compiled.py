"""Row 13: the atomic instructions in the compiled kernels are those of their source.

Owns the reading of LLVM IR and machine code.  It must never know what a kernel is for.

All kernels are compiled twice, in processes of their own with an empty cache.  Without optimization each function
stands alone, and its atomic instructions and fences must be exactly those that its source calls for; that IR, compiled
for AArch64, must show the instructions that carry the orderings there.  With optimization, where kernels are inlined
into each other, none of these kinds may have disappeared, and no shared word may be loaded as part of a vector, but
for the copies of four words, which are volatile.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import llvmlite.binding as llvm

from ringbuf import kernels
from ringbuf.warm import warm
from tools.prove.ring.stepping import SOURCES
from tools.rig.outcome import Outcome, timed

ARM = "aarch64-unknown-linux-gnu"
ROOT = Path(__file__).parents[3]
IR_OF = {  # the IR instruction of each atomic
    "load_acquire": "load acquire",
    "load_monotonic": "load monotonic",
    "store_release": "store release",
    "store_monotonic": "store monotonic",
    "fence_acquire": "fence acquire",
    "fence_release": "fence release",
    "fence_seq_cst": "fence seq_cst",
    "fetch_max": "atomicrmw acq_rel",
    "store_four": "volatile copy",
    "load_four": "volatile copy",
}
ARM_OF = {  # the instruction that carries each ordering there
    "load acquire": r"\bldap?u?r\b|\bldar\b",
    "store release": r"\bstlr\b",
    "fence acquire": r"\bdmb\s+ishld\b",
    "fence release": r"\bdmb\s+ish\b",
    "fence seq_cst": r"\bdmb\s+ish\b",
}


def atomics_of_source() -> dict[str, Counter[str]]:
    """Which atomics each kernel's source calls, itself and in what is inlined into it at every level."""
    nodes = [node for path in SOURCES for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    functions = {node.name: node for node in nodes}
    inlined = {name for name, node in functions.items() if "inline_kernel" in map(ast.unparse, node.decorator_list)}

    def count(name: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for call in (node.func for node in ast.walk(functions[name]) if isinstance(node, ast.Call)):
            if isinstance(call, ast.Name) and call.id in IR_OF:
                found[IR_OF[call.id]] += 1
            elif isinstance(call, ast.Name) and call.id in inlined:
                found += count(call.id)
        return found

    return {name: counts for name in functions if (counts := count(name))}


def atomics_of_ir(text: str) -> Counter[str]:
    """Which atomic instructions a piece of IR holds."""
    orders = "(monotonic|acquire|release|acq_rel|seq_cst)"
    loads_and_stores = re.findall(rf"\b(load|store) atomic [^\n]*?\b{orders}\b", text)
    fences = re.findall(rf"^\s*(fence) {orders}", text, re.M)
    swaps = re.findall(rf"\b(atomicrmw|cmpxchg) [^\n]*?\b{orders}\b", text)
    copies = ["volatile copy" for _ in re.finditer(r"call void @llvm\.memcpy\.\S+\([^\n]*i64 32, i1 true\)", text)]
    # x86 has no atomic maximum: LLVM makes it a compare-and-swap loop.
    return Counter(copies) + Counter(
        f"{kind} {order}".replace("cmpxchg", "atomicrmw") for kind, order in loads_and_stores + fences + swaps
    )


def own_function(module: str, name: str) -> str:
    """A kernel's body in a module's IR, without the wrappers that numba adds around it."""
    head = re.search(rf"^define [^\n]*@_ZN7ringbuf7kernels\d+[a-z]+{len(name)}{name}B[^\n]*", module, re.M)
    if head is None:
        raise AssertionError(f"no function {name} in its own module")
    return module[head.start() : module.index("\n}", head.start())]


def arm_assembly(module: str) -> str:
    """AArch64 assembly of a module."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine_specific = r"^target (triple|datalayout).*$|^.*@llvm\.x86\.sse2\.pause\(.*$"
    parsed = llvm.parse_assembly(re.sub(machine_specific, "", module, flags=re.M))
    parsed.triple = ARM
    machine = llvm.Target.from_triple(ARM).create_target_machine(cpu="neoverse-n1", opt=3)
    parsed.data_layout = str(machine.target_data)
    return str(machine.emit_assembly(parsed))


def arm_function(assembly: str, name: str) -> str:
    """A kernel's body in AArch64 assembly."""
    head = re.search(rf"^_ZN7ringbuf7kernels\d+[a-z]+{len(name)}{name}B\S*:", assembly, re.M)
    if head is None:
        raise AssertionError(f"no function {name} in the AArch64 assembly")
    return assembly[head.start() : assembly.index(".cfi_endproc", head.start())]


def compile_apart(*levels: int) -> list[dict[str, list[str]]]:
    """IR of every compiled signature of every kernel, per optimization level, from processes of their own at once."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("NUMBA_DISABLE_JIT", None)
        command = [sys.executable, "-m", "tools.prove.ring.compiled"]
        started = [
            subprocess.Popen(
                command,
                env=environment | {"XDG_CACHE_HOME": f"{folder}/{level}", "NUMBA_OPT": str(level)},
                stdout=subprocess.PIPE,
                text=True,
            )
            for level in levels
        ]
        outputs = [process.communicate()[0] for process in started]
    return [json.loads(output) for output in outputs]


@timed
def prove_compiled_code() -> Outcome:
    """Row 13: the orderings are in the machine code, and nothing was merged or widened."""
    wrong = []
    wanted = atomics_of_source()
    plain, optimized = compile_apart(0, 3)
    signatures = 0
    for name, count in wanted.items():
        if not plain.get(name) or not optimized.get(name):
            wrong.append(f"{name} was not compiled")
        for module in plain.get(name, ()):
            signatures += 1
            found = atomics_of_ir(own_function(module, name))
            if found != count:
                wrong.append(f"{name}: expected {dict(count)}, found {dict(found)}")
            body = arm_function(arm_assembly(module), name)
            missing = [kind for kind, pattern in ARM_OF.items() if count[kind] and not re.search(pattern, body)]
            wrong.extend(f"{name}: no {kind} in AArch64 code" for kind in missing)
        for module in optimized.get(name, ()):
            body = own_function(module, name)
            gone = set(count) - set(atomics_of_ir(body))
            wrong.extend(f"{name}: {kind} was optimized away" for kind in gone)
            if re.search(r"load (atomic )?<\d+ x", body):
                wrong.append(f"{name}: loads a vector")
    total = sum(sum(count.values()) for count in wanted.values())
    summary = (
        f"{len(wanted)} kernels, {signatures} signatures, {total} atomics and fences as in the source, on x86-64 and "
        f"AArch64; {len(wrong)} deviations " + "; ".join(wrong[:5])
    )
    return Outcome(13, "compiled code", not wrong, summary.strip())


def dump() -> None:
    """Compile every kernel and print its IR as JSON."""
    warm()
    modules = {
        name: [str(entry.library.get_llvm_str()) for entry in getattr(kernels, name).overloads.values()]
        for name in atomics_of_source()
    }
    json.dump(modules, sys.stdout)


if __name__ == "__main__":
    dump()
