"""A ring on one host, the same messages in a ring on another, with NATS JetStream between them.

batch    many frames as one NATS message, and back
outward  ring -> JetStream, resuming where the stream ends
inward   JetStream -> ring, resuming where the ring ends
"""
