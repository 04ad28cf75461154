"""Which emitters are pools: proof, quarantine, and what is remembered of it on disk."""
