"""Every error the project raises, as one tree.

    AlphaPulseError
    |-- UsageError              the caller's mistake: a value that does not fit, a name that is no name
    |   |-- CacheUnusable       the kernel cache cannot be made, read or written
    |   `-- UnsafeCacheError    the kernel cache could be written by somebody else
    |-- FrameError              the bytes' fault: they are no message
    |   |-- HeaderError         magic, version, domain, flags or size
    |   |-- ChecksumError       the bytes were changed after the message was sealed
    |   `-- TlvError            the TLVs after the header do not parse
    |-- SegmentError            shared memory: ringbuf.errors has its kinds
    `-- FeedError               the node: producers.node.errors has its kinds

A message names what was expected, what was found and where.  It never holds a secret.
"""


class AlphaPulseError(Exception):
    """Root of the tree: catch it to catch everything this project raises on purpose."""


class UsageError(AlphaPulseError, ValueError):
    """The caller asked for something that cannot be."""


class CacheUnusable(UsageError):
    """There is no directory for compiled kernels; the message says how one is given."""


class UnsafeCacheError(UsageError):
    """The kernel cache directory is open to other users; its code is not run."""


class FrameError(AlphaPulseError):
    """Bytes that are no message."""


class HeaderError(FrameError):
    """The 32-byte header is wrong."""


class ChecksumError(FrameError):
    """The CRC-32 over header and payload does not match."""


class TlvError(FrameError):
    """The TLVs of a payload do not parse."""


class SegmentError(AlphaPulseError):
    """A shared-memory segment is missing, foreign, full or damaged."""


class FeedError(AlphaPulseError):
    """The node's answer was unusable, or did not come."""
