"""A real EVM node with the real Uniswap contracts, on loopback: what the feed's proofs run against.

packages   fetches the node and the contracts, pinned by digest
node       one `anvil` process and its JSON-RPC
world      two V2 exchanges and Uniswap V3 with liquidity, and the transactions that move them
algebra    Algebra V1: factory, one pool, router and positions
v4         Uniswap V4: the pool manager and one pool without a hook
faults     relays between node and collector that close, reset, stall, refuse
"""
