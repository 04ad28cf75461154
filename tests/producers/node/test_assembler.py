"""The notation of programs."""

from __future__ import annotations

from producers.node.assembler import assemble


def test_assemble_pushes_numbers_and_the_places_of_labels() -> None:
    code = assemble("""
        0 100 0xa0b1c2d3 ADD    ; a remark with JUMP in it
      here:
        here JUMP end
      end:
    """)
    assert code.hex() == "600061010063a0b1c2d3015b61000b56610013"
