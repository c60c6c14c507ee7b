"""Load test of the server in an exported folder: requests per second and their times, on loopback.

Clients keep their connections and send one text per request. While they do, another one sends its
request a byte at a time, and one sends requests that are malformed; both must leave the others alone.

  python -m benchmarks.server_load --folder=shipped --connections=64 --seconds=10
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from common.errors import UserError
from training import cli
from training.help import group

FLAGS = flags.FLAGS

group("What to measure")
flags.DEFINE_string("folder", None, "Folder that export_model.py has written.")
flags.DEFINE_list("connections", ["1", "64"], "Numbers of clients at a time, each measured alone.")
flags.DEFINE_float("seconds", 5.0, "Length of a measurement in seconds.", lower_bound=0.1)
flags.DEFINE_string("text", "a film that never drags , and a story to remember", "Text to send.")

_MALFORMED = (
    b"{",
    b'{"instances": 3}',
    b'{"instances": [["a"]]}',
    b"\xff\xfe",
)


def main(_: Sequence[str]) -> None:
    folder = FLAGS.folder
    if not os.path.exists(os.path.join(folder, "server.py")):
        raise UserError(f"--folder={folder} has no server.py; give a folder of export_model.py.")
    with subprocess.Popen(
        [sys.executable, "server.py", "--port=0", "--max_connections=256"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        try:
            match = re.fullmatch(r"Serving (\S+) at http://\S+:(\d+)/\n", process.stdout.readline())
            if match is None:
                raise UserError(f"--folder={folder}: the server does not start.")
            for count in map(int, FLAGS.connections):
                found = asyncio.run(load(int(match[2]), match[1], count, FLAGS.seconds, FLAGS.text))
                print(json.dumps({"connections": count, **found}))
        finally:
            process.terminate()


async def load(port: int, name: str, connections: int, seconds: float, text: str) -> dict[str, Any]:
    """Asks a server for predictions from many connections at a time.

    Args:
      port: Of the server on this machine.
      name: Of its model.
      connections: Clients, each with one request on its way.
      seconds: Length of the measurement.
      text: The text that is sent.

    Returns:
      `requests_per_second`, `p50_ms`, `p99_ms` of the well-formed requests; `errors` among them; the
      number of `malformed` requests that were refused as they should be.
    """
    path = f"/v1/models/{name}:predict"
    end = time.perf_counter() + seconds
    request = _request(path, json.dumps({"instances": [text]}).encode())
    clients = [_client(port, request, end) for _ in range(connections)]
    start = time.perf_counter()
    slow = asyncio.create_task(_slow_client(port, request))
    refused = asyncio.create_task(_malformed_client(port, path, end))
    results = await asyncio.gather(*clients)
    elapsed = time.perf_counter() - start
    malformed = await refused
    slow.cancel()
    times = np.array([t for found, _ in results for t in found])
    return {
        "requests_per_second": round(len(times) / elapsed),
        "p50_ms": round(float(np.quantile(times, 0.5)), 2),
        "p99_ms": round(float(np.quantile(times, 0.99)), 2),
        "errors": sum(errors for _, errors in results),
        "malformed": malformed,
    }


def _request(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def _answer(reader: asyncio.StreamReader) -> int:
    """The status of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    match = re.search(rb"Content-Length: (\d+)", head)
    assert match
    await reader.readexactly(int(match[1]))
    return int(head[9:12])


async def _client(port: int, request: bytes, end: float) -> tuple[list[float], int]:
    """Milliseconds of its requests, and how many of them failed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times, errors = [], 0
    while (start := time.perf_counter()) < end:
        writer.write(request)
        errors += await _answer(reader) != 200
        times.append(1000 * (time.perf_counter() - start))
    writer.close()
    return times, errors


async def _malformed_client(port: int, path: str, end: float) -> int:
    """Number of requests that were refused; each ends its connection."""
    count = 0
    while time.perf_counter() < end:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_request(path, _MALFORMED[count % len(_MALFORMED)]))
        count += await _answer(reader) == 400
        writer.close()
        await asyncio.sleep(0.01)
    return count


async def _slow_client(port: int, request: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    for i in range(len(request)):
        writer.write(request[i : i + 1])
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    flags.mark_flags_as_required(["folder"])
    cli.run(main)
