"""Showing that the promises hold, on your own machine: models of the kernels, campaigns with real processes."""
