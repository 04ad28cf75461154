"""How costs grow: with readers, clients, pools, frames and payloads, each with its exponent."""
