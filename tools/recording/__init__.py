"""The recording node: a recorded session of a real node, served again over real sockets.

    files -> rows -> recording (+ timeline, chain, contracts)      what was recorded, checked
    rpc, filters, queries, faults -> core                          a node without I/O, on a virtual clock
    port, server                                                   WebSocket and HTTP around it

It exists so that the whole pipeline runs on real data, reorgs and failures included, with no account and no network.
"""

from tools.recording.bundle import bundled_recording
from tools.recording.errors import RecordingError
from tools.recording.faults import Faults
from tools.recording.recording import Recording, load_recording
from tools.recording.server import RecordingNode

__all__ = ["Faults", "Recording", "RecordingError", "RecordingNode", "bundled_recording", "load_recording"]
