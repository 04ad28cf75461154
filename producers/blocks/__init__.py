"""Which blocks are canonical, and which of their logs are here: heads, reorgs, backfill, completeness."""
