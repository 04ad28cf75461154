"""From a node to a ring: a feed without I/O, and the collector around it."""
