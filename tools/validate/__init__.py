"""`alphapulse validate`: a collector on a live node, and every event it published held against that node.

abi        events as eth-abi decodes them: shares no code with the collector's decoder
ledger     what the ring said
standstill for how long it said nothing that shows progress
emitters   which contracts are pools, asked of their factories
witness    what the node says when it is asked again
judgement  ring against node, event by event
owed       what was declared as held back, and whether it comes
report     what came out, and whether it is good enough
session    the ring and the clock
processes  the collector, its ring, and their end
command    its options, its progress and its exit code
"""
