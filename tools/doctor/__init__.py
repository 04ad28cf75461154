"""`alphapulse doctor`: whether this machine, and a node, can carry the pipeline.

finding     what one check found
machine     checks of this machine
delivery    rings, sockets, cursors and journals that are there
asking      its questions: bounded, told at once, with remedies
node        checks of an endpoint
watch       what an endpoint pushes, seen for a while
http        the same node over HTTP
command     its options and its output
"""
