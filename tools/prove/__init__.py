"""Proofs of the promises, on the user's machine: models of the kernels, campaigns with real processes."""
