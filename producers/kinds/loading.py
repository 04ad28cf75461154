"""Pool kinds from files outside this package.

Owns the way from a path to a registered kind.  **A kind file is code: it runs as the user who runs the collector, with
everything that this user may do.**  Load only what you would run.
"""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from producers.kinds.kind import PoolKind
from producers.kinds.registry import register
from tlv.errors import UsageError

_LOADED: dict[Path, PoolKind] = {}


def load_kind_file(path: Path) -> PoolKind:
    """Run the Python file at `path` and register its `KIND`; a file is run once a process.

    Raises:
        UsageError: no such file, it fails, it has no KIND, or the kind is refused; the message names the file.
    """
    path = path.resolve()
    if path in _LOADED:
        return _LOADED[path]
    if path.suffix != ".py" or not path.is_file():
        raise UsageError(f"kind file {path}: expected a .py file")
    spec = spec_from_file_location(f"alphapulse_kind_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"kind file {path}: expected a .py file")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        kind = getattr(module, "KIND", None)
        if not isinstance(kind, PoolKind):
            raise UsageError(f"expected KIND, a PoolKind, found {kind!r}")
        register(kind)
    except (Exception, SystemExit) as error:  # whatever the user's code raises is the file's fault, and said so
        raise UsageError(f"kind file {path}: {type(error).__name__}: {error}") from error
    _LOADED[path] = kind
    return kind
