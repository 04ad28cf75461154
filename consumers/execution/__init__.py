"""Orders filled on paper: against the exact state of a later block, with gas, risk limits and a circuit breaker.

config      what a user may set
orders      from ArbitrageSignal and OrderRequest to one `Order`
chain       the states of pools inside a block, and how own fills move them
fills       pure arithmetic: states and an amount in, amounts out
risk        limits, with what was found
breaker     the circuit breaker
ledger      what the executor's own messages add up to; restored from them after a restart
executor    the strategy that ties them together
counts      what its process counts, for whoever watches it
runner      market and order rings, or journals, to the executor's ring

No module of it can send a transaction: none imports a socket.
"""
