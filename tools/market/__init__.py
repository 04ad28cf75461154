"""A market to try the pipeline on: the real contracts on a local node, and seeded traders that move them.

plan        which tokens and pools there are, by number alone
place       the contracts of a plan on a node: made, read, traded on
cycles      round trips through pools, and what the best of them would earn
traders     who wants what of a block, by what they see and a seed
market      one block after the other; reorgs
chain_file  what a collector must know of it
recorded    the collector and the recorder that make a journal of it; the bundled one
"""
