"""`alphapulse doctor`: whether this machine, a configuration and a node can carry the pipeline.

finding        what one check found
bounded        a check that can neither crash nor hang the doctor
machine        interpreter, packages, processor, clock, limits
storage        shared memory, caches, state, sockets and logs
delivery       rings, processes, sockets, cursors and journals that are there
configuration  what a configuration names
asking         questions to a node: bounded, told at once, with remedies
node           checks of an endpoint
watch, pushed  what an endpoint pushes, seen for a while, and judged
http           the same node over HTTP
command        its options and its output
"""
