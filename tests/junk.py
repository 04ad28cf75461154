"""What a public argument may be given: values of every kind, few of which it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st


def junk(*samples: Any) -> st.SearchStrategy[Any]:
    """Values of the built-in and numpy's kinds, and these."""
    return (
        st.none()
        | st.booleans()
        | st.floats()
        | st.text(max_size=4)
        | st.binary(max_size=4)
        | st.integers()
        | st.sampled_from([1 << 200, [], {}, (1,), np.float64(3.5), np.array([1]), *samples])
    )
