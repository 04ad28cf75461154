"""Rows 24 and 27: the collector against a real node, with everything breaking around it."""
