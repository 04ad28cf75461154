"""What a recording on disk can do wrong.

RecordingError    its files are missing, damaged, or contradict each other

It is a kind of `FeedError`: a recording stands where a node would.
"""

from tlv.errors import FeedError


class RecordingError(FeedError):
    """A recording cannot be served; the message names the file and the line."""
