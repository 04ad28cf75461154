"""Showing that the promises hold, on the user's own machine: models of the kernels, and campaigns with real processes."""
