"""Strategies by reference: `module:Class`, `path/file.py:Class`, or the name of one that comes with AlphaPulse.

Owns the way from a reference to a class that was found usable, and from a class to a strategy.  **A strategy's file is
code: it runs as the user who starts it, with everything that this user may do.**  Parameters are `parameters`' matter.

A file is run once a process, under its own name if no other module has it: machine code of its kernels is cached under
the name.  It finds modules beside it, and those below the current folder.  What it prints while it is loaded goes to
stderr, since a program may read the command's stdout.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import msgspec

from consumers.foreign_prints import prints_to_stderr
from consumers.native.build import check_native
from consumers.native.strategy import NativeStrategy
from consumers.parameters import read_parameters, shown_parameters
from consumers.strategy import HANDLERS, Strategy
from tlv.arguments import check_integer
from tlv.errors import UsageError
from tlv.filter import MessageFilter
from tlv.layout import SignalIdentity
from tlv.nearest import did_you_mean, there_are
from tlv.record import RECORDS, Record

AnyStrategy = Strategy | NativeStrategy

BUILT_IN = {"flash_arbitrage": "consumers.arbitrage.flash_arbitrage:FlashArbitrage"}
"""Strategies that a short name means."""
EXAMPLES = "consumers.examples"
LONGEST_NAME = SignalIdentity.layout.kinds["strategy"].size
HOSTS = ("trigger", "counts", "drafts", "called_in", "made_with")
"""What the host of a strategy sets."""
MISSPELT = 0.8
"""How much like a method's name, by difflib's ratio, one is that is taken for a misspelling of it."""

_FILES: dict[Path, ModuleType] = {}
"""What was loaded from each file."""


def load_strategy(reference: str = "flash_arbitrage") -> type[AnyStrategy]:
    """The class that a reference means.

    A file or module without `:Class` means the only strategy that is written in it.

    Raises:
        UsageError: there is no such file, module or class, it does not import, or it is no strategy that could run; the
            message begins with the reference and has the place in the user's file.
    """
    where = f"strategy {reference}"
    source, colon, name = BUILT_IN.get(reference, reference).rpartition(":")
    if not colon:
        source, name = name, ""
    if not source or (colon and not name):
        raise UsageError(f"{where}: expected module:Class or file.py:Class, or {' or '.join(BUILT_IN)}")
    is_file = source.endswith(".py") or "/" in source
    if not colon and not is_file and "." not in source and not _is_module(source):
        example = f"{EXAMPLES}.{source}"
        meant = f"; did you mean {example}?" if _is_module(example) else did_you_mean(source, BUILT_IN)
        raise UsageError(f"{where}: expected module:Class or file.py:Class, or {' or '.join(BUILT_IN)}{meant}")
    module = _load_file(Path(source), where) if is_file else _load_module(source, where)
    found: type[AnyStrategy] = _class_in(module, name, where) if name else _only_class_in(module, where)
    check_class(found, where)
    return found


def make_strategy(
    loaded: type[AnyStrategy], params: Mapping[str, Any] | None = None, sets: Sequence[str] = ()
) -> AnyStrategy:
    """A strategy of the class `loaded`, with the parameters of a table and, over them, of `key=value` texts.

    Raises:
        UsageError: it has no such parameter, a value is not what the parameter takes, or making it failed.
    """
    where = f"strategy {loaded.name}"
    arguments = read_parameters(loaded.params, params or {}, sets, where)
    try:
        with prints_to_stderr():
            made = loaded(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(f"{where}: making it failed: {place_of(error)}{describe(error)}") from error
    check_identity(made, where)
    if isinstance(made, Strategy):
        made.made_with = arguments[0] if arguments else None
        if made.drafts:
            raise UsageError(f"{where}: it emits in its constructor; expected it in a method, which answers a frame")
    elif not hasattr(made, "memory"):
        raise UsageError(f"{where}: its constructor makes no memory; expected super().__init__(settings) in it")
    return made


def parameters_of(strategy: AnyStrategy) -> dict[str, Any]:
    """The parameters with which a strategy was made here, as JSON has them; {} if it has none."""
    return shown_parameters(strategy.made_with if isinstance(strategy, Strategy) else strategy.settings)


def load_records(reference: str) -> tuple[type[Record], ...]:
    """The records that a strategy declares, registered by loading it; of a file without `:Class`, of all in it.

    Raises:
        UsageError: as of `load_strategy`, or there are none.
    """
    where = f"strategy {reference}"
    if ":" in reference or reference in BUILT_IN:
        found = [load_strategy(reference)]
    else:
        module = _load_file(Path(reference), where) if reference.endswith(".py") else _load_module(reference, where)
        found = list(_strategies_in(module).values())
    records = tuple(dict.fromkeys(record for cls in found for record in cls.records))
    if not records:
        raise UsageError(f"{where}: expected records = (...,) of its own in the class, found none")
    return records


def is_strategy(found: object) -> bool:
    """Whether it is the class of a strategy, plain or native."""
    return (
        isinstance(found, type)
        and issubclass(found, Strategy | NativeStrategy)
        and found not in (Strategy, NativeStrategy)
    )


def check_class(found: Any, where: str) -> None:
    """Refuse a class that could not run, or that would never be called.

    Raises:
        UsageError: it is no strategy, its methods or its handler are none, or as of `check_identity`.
    """
    if not is_strategy(found):
        shown = f"class {found.__name__}" if isinstance(found, type) else f"{found!r:.80}"
        raise UsageError(f"{where}: expected a subclass of Strategy or NativeStrategy, found {shown}")
    check_identity(found, where)
    if found.params is not None and not (isinstance(found.params, type) and issubclass(found.params, msgspec.Struct)):
        raise UsageError(f"{where}: params: expected a msgspec.Struct class or None, found {found.params!r:.80}")
    if issubclass(found, NativeStrategy):
        try:
            check_native(found)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
    else:
        _check_methods(found, where)
        _check_attributes(found, where)
    _check_constructor(found, where)


def _check_attributes(found: type[Strategy], where: str) -> None:
    """Refuse a class that has something of its own under the name of what its host sets, or whose attributes nobody can
    set."""
    written = [name for cls in found.__mro__ for name in vars(cls) if cls not in Strategy.__mro__]
    taken = next((name for name in HOSTS if name in written), None)
    if taken is not None:
        raise UsageError(f"{where}: {taken}: every strategy has this attribute, set by its host; expected another name")
    if getattr(getattr(found, "__dataclass_params__", None), "frozen", False):
        raise UsageError(f"{where}: expected a class whose attributes can be set, found a frozen dataclass")


def _check_constructor(found: type[AnyStrategy], where: str) -> None:
    """Refuse a class that cannot be made of its parameters, or of nothing if it declares none."""
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise UsageError(f"{where}: {found.__name__} is abstract; expected a subclass of it that has {lacking}")
    arguments = ["self"] if found.params is None else ["self", "params"]
    try:
        signature = inspect.signature(found.__init__)
        signature.bind(*arguments)
    except ValueError:  # of what is no Python function nothing is known
        return
    except TypeError:
        why = "declares no params" if found.params is None else "has params"
        expected = f"expected __init__({', '.join(arguments)}) of a class that {why}"
        raise UsageError(f"{where}: {expected}, found __init__{shape(signature)}") from None


def _check_methods(found: type[Strategy], where: str) -> None:
    """Refuse a class that has no method of a strategy, one that is misspelt, or one that cannot be called as it is."""
    for name in dir(found):
        if name.startswith("on_") and name not in HANDLERS:
            meant = difflib.get_close_matches(name, HANDLERS, n=1, cutoff=MISSPELT)
            if meant:
                raise UsageError(f"{where}: {name} is no method of a strategy; did you mean {meant[0]}?")
    overridden = [name for name in HANDLERS if getattr(found, name) is not getattr(Strategy, name)]
    if not overridden:
        raise UsageError(f"{where}: a class without methods; expected at least one of {', '.join(HANDLERS)}")
    for name in overridden:
        _check_method(getattr(found, name), name, where)


def check_identity(found: Any, where: str) -> None:
    """Refuse what a signal's identity or a filter cannot hold; of a class or of a strategy made of it.

    Raises:
        UsageError: `name`, `version`, `source` or `wants` is none.
    """
    name = found.name
    if not isinstance(name, str) or not name.strip("\0"):
        raise UsageError(f"{where}: name: expected a text, found {name!r:.80}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise UsageError(f"{where}: name: expected UTF-8, found {name!r:.80}") from None
    if size > LONGEST_NAME:
        raise UsageError(f"{where}: name: expected at most {LONGEST_NAME} bytes, found {size}: {name!r:.80}")
    check_integer(f"{where}: version", found.version, 0, (1 << 32) - 1)
    check_integer(f"{where}: source", found.source, 0, 255)
    try:
        MessageFilter.of(types=found.wants)
    except UsageError as error:
        raise UsageError(f"{where}: wants: {error}") from None
    for what in ("records", "symbols"):
        values = getattr(found, what, ())
        if not isinstance(values, tuple | list | set | frozenset):
            raise UsageError(f"{where}: {what}: expected a tuple or a set, found {values!r:.80}")
    for symbol in getattr(found, "symbols", ()):
        if not isinstance(symbol, str):
            raise UsageError(f"{where}: symbols: expected texts such as WMATIC/USDC, found {symbol!r:.80}")
    for record in found.records:
        if not (isinstance(record, type) and issubclass(record, Record) and record in RECORDS.values()):
            raise UsageError(f"{where}: records: expected registered Record classes, found {record!r:.80}")


def place_of(error: BaseException) -> str:
    """`file.py, line 3: ` of the user's code in which `error` was raised, or nothing: the last frame outside the
    installed packages and AlphaPulse itself."""
    if isinstance(error, SyntaxError) and error.filename:
        line = f", line {error.lineno}" if error.lineno else ""
        return f"{_shown(error.filename)}{line}: "
    ours = {Path(__file__).parents[1] / package for package in ("consumers", "ringbuf", "tlv", "tools")}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        foreign = frame.filename.startswith("<") or any(part in _LIBRARIES for part in path.parts)
        if not foreign and not any(path.is_relative_to(package) for package in ours):
            return f"{_shown(frame.filename)}, line {frame.lineno}: "
    return ""


def describe(error: BaseException) -> str:
    """Kind and text of an exception on one line; of our own, which say what was expected, the text alone."""
    try:
        text = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    except BaseException:  # noqa: BLE001 - an exception of its own kind, which cannot be shown
        text = ""
    if isinstance(error, UsageError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_LIBRARIES = {"site-packages", "dist-packages", Path(traceback.__file__).parent.name}


def _shown(filename: str) -> str:
    """A file's path, short if it lies below the current folder."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename


def _is_module(name: str) -> bool:
    """Whether there is a module of this name, which is not loaded for the answer."""
    _find_below(Path.cwd())
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _find_below(folder: Path) -> None:
    """Let modules in `folder` be found, after all others."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _load_file(path: Path, where: str) -> ModuleType:
    """Run a Python file, once."""
    path = path.expanduser().resolve()
    if path in _FILES:
        return _FILES[path]
    if not path.is_file():
        there = [one.name for one in path.parent.glob("*.py")] if path.parent.is_dir() else []
        found = "a folder" if path.is_dir() else "none"
        raise UsageError(f"{where}: expected a file {path}, found {found}{did_you_mean(path.name, there)}")
    _find_below(path.parent)
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if path.suffix != ".py" or spec is None or spec.loader is None:
        raise UsageError(f"{where}: expected a file that ends in .py, found {path.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and kernels look themselves up there
    try:
        with prints_to_stderr():
            spec.loader.exec_module(module)
    except BaseException as error:  # noqa: BLE001 - foreign code
        del sys.modules[name]
        _refuse_import(error, where)
    _FILES[path] = module
    return module


def _module_name(path: Path) -> str:
    """The file's own name, if no other module has it; else with a number that its path always has."""
    stem = "".join(letter if letter.isalnum() else "_" for letter in path.stem)
    taken = stem in sys.modules or stem in sys.stdlib_module_names
    if not taken and stem.isidentifier():
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(stem)
            if spec is None or (spec.origin and Path(spec.origin).resolve() == path):
                return stem
    return f"{stem}_{blake2b(str(path).encode('utf-8', 'surrogateescape'), digest_size=6).hexdigest()}"


def _load_module(name: str, where: str) -> ModuleType:
    """Import a module, found as `python -m` would find it here."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{where}: expected a module's whole name, found {name!r}")
    _find_below(Path.cwd())
    try:
        with prints_to_stderr():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            hint = f"; did you mean {name}.py?" if Path(f"{name}.py").is_file() else ""
            raise UsageError(f"{where}: there is no module {error.name}{hint}") from None
        _refuse_import(error, where)
    except BaseException as error:  # noqa: BLE001 - foreign code
        _refuse_import(error, where)


def _refuse_import(error: BaseException, where: str) -> NoReturn:
    """Say in one line why the user's code does not import; an interrupt by the user goes on.

    Raises:
        UsageError: always, but for an interrupt.
    """
    if isinstance(error, KeyboardInterrupt):
        raise error
    hint = ""
    if isinstance(error, SystemExit):
        hint = '; what it runs as a program belongs behind `if __name__ == "__main__":`'
    elif isinstance(error, ImportError) and "relative import" in str(error):
        hint = "; a file of a package is named as a module, package.module:Class, from the folder that has the package"
    raise UsageError(f"{where}: it does not import: {place_of(error)}{describe(error)}{hint}") from error


def _strategies_in(module: ModuleType) -> dict[str, Any]:
    """The strategies that are written in a module, by name; not those that it imports."""
    own = vars(module).items()
    return {name: found for name, found in own if is_strategy(found) and found.__module__ == module.__name__}


def _class_in(module: ModuleType, name: str, where: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            there = list(_strategies_in(module))
            raise UsageError(
                f"{where}: no class {name} in {module.__name__}{did_you_mean(name, there)} {there_are(there)}"
            )
        found = getattr(found, part)
    return found


def _only_class_in(module: ModuleType, where: str) -> Any:
    written = _strategies_in(module)
    there = {name: found for name, found in written.items() if not inspect.isabstract(found)} or written
    if not there:
        imported = [name for name, found in vars(module).items() if is_strategy(found)]
        raise UsageError(
            f"{where}: expected a subclass of Strategy or NativeStrategy that is written in {module.__name__}, found "
            f"none{f'; it imports {imported[0]}' if imported else ''}"
        )
    if len(there) > 1:
        raise UsageError(
            f"{where}: expected :Class, since {module.__name__} has {len(there)} strategies {there_are(list(there))}"
        )
    return next(iter(there.values()))


def _check_method(method: Any, name: str, where: str) -> None:
    """Refuse a method that cannot be called with what a strategy's method gets."""
    if not callable(method):
        raise UsageError(f"{where}: {name}: expected a method, found {method!r:.80}")
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise UsageError(f"{where}: {name}: expected a plain method, found one with async or yield: nothing awaits it")
    expected = inspect.signature(getattr(Strategy, name))
    try:
        found = inspect.signature(method)
    except ValueError:  # of what is no Python function nothing is known
        return
    try:
        found.bind(*expected.parameters)
    except TypeError:
        raise UsageError(f"{where}: {name}: expected {name}{shape(expected)}, found {name}{shape(found)}") from None


def shape(signature: inspect.Signature) -> str:
    """`(self, record, origin)`."""
    return f"({', '.join(str(one.replace(annotation=one.empty)) for one in signature.parameters.values())})"
