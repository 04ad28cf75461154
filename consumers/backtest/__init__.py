"""A journal as the strategy and the executor would have met it: the same host, the same executor, event time."""
