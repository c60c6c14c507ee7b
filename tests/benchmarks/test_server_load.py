"""The load test against a server that answers at once, and one that refuses."""

from __future__ import annotations

import asyncio
import sys

import pytest
from scripts import load_script

SCRIPT = "benchmarks/server_load"


@pytest.mark.parametrize("status", [200, 503])
def test_load(status: int) -> None:
    load_script(SCRIPT)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(int(head.split(b"Content-Length: ")[1]))
                code = status if b"good" in body else 400
                writer.write(f"HTTP/1.1 {code} X\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        except asyncio.IncompleteReadError:
            writer.close()

    async def measure() -> dict:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        found = await sys.modules[SCRIPT].load(port, "student", 3, 0.2, "good")
        server.close()
        return found

    found = asyncio.run(measure())
    assert found["requests_per_second"] > 10 and found["malformed"] > 0
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert (found["errors"] == 0) == (status == 200)
