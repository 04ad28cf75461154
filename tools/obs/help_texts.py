"""What each count means, as its declaration says: the texts behind # HELP.

Owns the reading of a dataclass's source.  A count is explained once, under its field; here nothing is written again.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache


@cache
def field_texts(record: type) -> dict[str, str]:
    """The text under each field of a dataclass, on one line; a field without one is not there."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, behind in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = ast.literal_eval(behind.value) if isinstance(behind, ast.Expr) else None
            texts |= {field.target.id: " ".join(text.split())} if text else {}
    return texts


def help_of(record: type, field: str) -> str:
    """The text of one field; its name in words if it needs none."""
    return field_texts(record).get(field, f"{field.replace('_', ' ').capitalize()}.")
