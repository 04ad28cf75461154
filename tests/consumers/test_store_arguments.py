"""Public arguments of Store: taken as they are, or refused with their names (row 56)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consumers.store import Store
from tlv.errors import UsageError


@pytest.mark.parametrize("canonical", [None, 1, 0, "no", []])
def test_store_opened_with_a_canonical_that_is_no_bool_is_refused_by_name(tmp_path: Path, canonical: Any) -> None:
    with pytest.raises(UsageError, match="canonical: expected True or False, found "):
        Store.open(tmp_path, canonical=canonical)


@pytest.mark.parametrize("canonical", [1, 0, "no", []])
def test_store_selected_with_a_canonical_that_is_no_bool_is_refused_by_name(tmp_path: Path, canonical: Any) -> None:
    with pytest.raises(UsageError, match="canonical: expected True or False, found "):
        Store(tmp_path).select(canonical=canonical)


@pytest.mark.parametrize("path", [None, 7, b"journal", ["journal"]])
def test_store_opened_with_a_path_that_is_none_is_refused_by_name(path: Any) -> None:
    with pytest.raises(UsageError, match="path: expected a directory, found "):
        Store.open(path)
