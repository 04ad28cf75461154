"""The extras of the package: which library comes with which, and what is said where one is missing.

Libraries of extras are imported where they are needed, never at the head of a module that works without them.
"""

from __future__ import annotations

import importlib
from typing import Any

from tlv.errors import UsageError

EXTRAS = {
    "apprise": "notify",
    "chdb": "dev",
    "duckdb": "analysis",
    "faster_fifo": "peers",
    "iceoryx2": "peers",
    "nats": "nats",
    "nkeys": "nats",
    "opentelemetry": "otlp",
    "pandas": "analysis",
    "polars": "analysis",
    "prometheus_client": "obs",
    "psycopg": "dev",
    "pyarrow": "analysis",
    "pyrevm": "evm",
    "pytz": "analysis",
    "starlette": "obs",
    "supervisor": "up",
    "uvicorn": "obs",
    "web3": "peers",
    "zenoh": "peers",
    "zmq": "peers",
}
"""From a library's top package to the extra that brings it."""


def installing(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'alphapulse[{extra}]'"


def missing(library: str | None) -> str:
    """That a library is not installed, and what installs it; nothing if it is of no extra."""
    package = (library or "").partition(".")[0]
    return f"{package} is not installed; {installing(EXTRAS[package])} brings it" if package in EXTRAS else ""


def need(name: str) -> Any:
    """The module `name`, of an extra.

    Raises:
        UsageError: it is not installed; the message says how it is.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        text = missing(error.name)
        if not text:
            raise
        raise UsageError(text) from None
