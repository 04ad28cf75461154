"""Pages that watch a dashboard, without a browser: they take every update and look at none.

Owns nothing.  It is a process of its own, so that what taking costs is not counted to who sends.
"""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.client import ClientConnection, connect


async def watch(url: str, count: int) -> None:
    """Say when so many pages have everything, and take what comes until the end."""
    address = url.replace("http", "ws", 1) + "/dashboard"
    pages = [await connect(address, compression=None, max_size=None) for _ in range(count)]
    for page in pages:
        await page.recv()
        await page.recv()
    print("watching", flush=True)
    await asyncio.gather(*map(drain, pages))


async def drain(page: ClientConnection) -> None:
    """Take what comes."""
    async for _ in page:
        pass


if __name__ == "__main__":
    asyncio.run(watch(sys.argv[1], int(sys.argv[2])))
