"""Swaps executed by the real contracts inside this process (pyrevm, extra `evm`), without a node.

seeded_pools   a Uniswap V2 pair, a Uniswap V3 pool or an Algebra pool put into a given state, and a swap through it
"""
