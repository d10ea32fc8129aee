"""Eight clients that draw, list and look: `python -m bench.load URL TOKEN SECONDS`."""

from __future__ import annotations

import asyncio
import sys
import time

import httpx2

CLIENTS = 8


async def _client(client: httpx2.AsyncClient, until: float, number: int) -> int:
    drawn = 0
    while time.monotonic() < until:
        body = {"prompt": f"a lighthouse, client {number}", "num_images": 2}
        answer = await client.post("/api/v1/jobs", json=body, headers={"Prefer": "wait=30"})
        for image in answer.raise_for_status().json()["images"]:
            (await client.get(image["url"])).raise_for_status()
            (await client.get(image["thumbnail_url"])).raise_for_status()
            drawn += 1
        (await client.get("/api/v1/images", params={"limit": 20})).raise_for_status()
    return drawn


async def main(url: str, token: str, seconds: float) -> None:
    """Run all clients for a time and print how many pictures they got."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        until = time.monotonic() + seconds
        print(sum(await asyncio.gather(*(_client(client, until, n) for n in range(CLIENTS)))))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
