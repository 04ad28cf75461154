"""Strategies to learn from, each a lesson: run one with `alphapulse strategy
consumers.examples.price_mover:PriceMover`."""
