"""The simulated world: a chain, its nodes, the network, clocks and kills under one seed, around the real feed."""
