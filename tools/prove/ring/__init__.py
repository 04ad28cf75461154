"""Rows 1 to 19, 36 and 37: models of the ring's kernels, and campaigns with real processes."""
