"""`alphapulse chain`: a chain of one's own, written and proven.

template    the commented file that `chain new` writes
proof       what `chain check --url` holds against a node
command     the two commands, their options and their output
"""
