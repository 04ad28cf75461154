"""From a node's WebSocket to decoded events: others' ways beside ours, over the same logs of a recording node.

One file a client.  Each has a `CLIENT`, and decodes every event of Uniswap V2 with all its fields; `table` compares
what they decoded, log by log.
"""
