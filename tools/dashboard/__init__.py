"""The dashboard that `alphapulse obs` serves: what the rings say, folded into what a page shows, live or as of a block.

shapes    what is sent to the page
assets/   the page: plain ES modules, no build step
"""
