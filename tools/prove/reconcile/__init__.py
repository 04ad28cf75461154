"""Paper fills against transactions: the same orders, at the same places of the same blocks, on a real node.

arena      the node with all five pools, seeded traders, and the accounts that trade for the orders
campaign   the collector and the executor over the arena's blocks, then the orders as transactions
"""
