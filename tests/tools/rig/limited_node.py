"""A real node behind a relay that refuses wide ranges, as public endpoints do: derived, and named so in the tests."""

from __future__ import annotations

import json

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tools.rig.evm.faults import WsRelay


class RangeLimitRelay(WsRelay):
    """Answers eth_getLogs over more than `most` blocks with the words of a public endpoint; relays the rest."""

    def __init__(self, upstream: str, most: int) -> None:
        super().__init__(upstream)
        self.most = most
        self.refused = 0

    async def _to_node(self, down: ServerConnection, up: ClientConnection) -> None:
        try:
            async for message in down:
                request = json.loads(message)
                if request["method"] == "eth_getLogs" and self._is_wide(request["params"][0]):
                    self.refused += 1
                    error = {"code": -32701, "message": f"exceed maximum block range: {self.most}"}
                    await down.send(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}))
                else:
                    await up.send(message)
        except ConnectionClosed:
            return

    def _is_wide(self, wanted: dict[str, str]) -> bool:
        if "blockHash" in wanted:
            return False
        return int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) >= self.most
