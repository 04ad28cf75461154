"""`alphapulse coverage`: which share of the swaps of a chain a collector published, and what of the others is known.

`account` adds up what the messages say, `unknown_factories` says how the factories of the others would be configured,
`report` makes rows, JSON and text of it, `command` reads a journal or a ring.
"""
