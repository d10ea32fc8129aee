"""A service that takes its time over every picture: `python -m bench.slow_service SECONDS SIDE`.

It speaks OpenAI's images API as far as a provider needs, and prints its port.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import sys

from PIL import Image


def _answer(side: int) -> bytes:
    noise = random.Random(7).randbytes(side // 8 * (side // 8) * 3)  # noqa: S311 - a picture
    small = Image.frombytes("RGB", (side // 8, side // 8), noise)
    out = io.BytesIO()
    small.resize((side, side), Image.Resampling.BICUBIC).save(out, "PNG")
    picture = base64.b64encode(out.getvalue()).decode()
    body = json.dumps({"created": 1, "data": [{"b64_json": picture}]}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


async def _serve(seconds: float, side: int) -> None:
    answer = _answer(side)

    async def draw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(seconds)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(draw, "127.0.0.1", 0, backlog=1000)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), int(sys.argv[2])))
