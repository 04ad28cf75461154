"""What a node can do wrong, as part of the tree in `tlv.errors`.

FeedError
|-- EndpointError         no endpoint could be reached, or it refuses us
|   `-- WrongChainError   the node serves another chain than the one configured
|-- WrongRingError        the ring was written for another chain
`-- StateFileError        the file that says where to resume cannot be used

A bad message is none of these: it is a counted rejection (`producers.node.jsonrpc.Rejection`), since one must never
stop the reader.  An endpoint is named by its host only: the rest of a URL may be a key.
"""

from tlv.errors import FeedError


class EndpointError(FeedError):
    """No configured endpoint can be used."""


class WrongChainError(EndpointError):
    """`eth_chainId` or the early block differ from what is known: nothing this node says is about our chain."""


class WrongRingError(FeedError):
    """What stands in the ring is another chain's, so nothing of ours may follow it."""


class StateFileError(FeedError):
    """A collector's state file is damaged, or of another chain."""
