"""The error of a recording on disk.

RecordingError    its files are missing, damaged, or contradict each other

It is a kind of `FeedError`, since a recording takes the place of a node.
"""

from tlv.errors import FeedError


class RecordingError(FeedError):
    """A recording cannot be served; the message names the file and the line."""
