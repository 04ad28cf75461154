"""Talking to a node: its WebSocket, JSON-RPC, spellings, errors, and when to try again."""
