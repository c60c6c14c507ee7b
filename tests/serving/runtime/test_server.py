"""The server of an exported model, asked over HTTP."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from models import random_model, write_student
from scripts import run_script


@contextlib.contextmanager
def serving(folder: pathlib.Path, name: str) -> Iterator[int]:
    """The port of a server that waits for a request for half a second at most."""
    code = (
        "import sys, server; server.TIMEOUT_SECONDS = server.Handler.timeout = 0.5; server.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--port=0", "--max_connections=8"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    line = process.stdout.readline()
    match = re.fullmatch(rf"Serving {name} at http://127.0.0.1:(\d+)/\n", line)
    assert match, line
    try:
        yield int(match[1])
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()


@pytest.fixture(scope="module")
def server(shipped: pathlib.Path) -> Iterator[int]:
    with serving(shipped, "reviews") as port:
        yield port


def ask(
    port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    if body is not None and not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    is_json = response.getheader("Content-Type") == "application/json"
    return response.status, json.loads(content) if is_json else content


PREDICT = "/v1/models/reviews:predict"


@pytest.mark.parametrize("path", ["/v1/models/mod%C3%A8le%201", "/v1/models/modèle%201"])
def test_a_name_of_other_letters(shipped: pathlib.Path, tmp_path: pathlib.Path, path: str) -> None:
    """Quoted, as browsers send it, or in UTF-8 as it is, as curl does."""
    folder = tmp_path / "shipped"
    shutil.copytree(shipped, folder)
    info = {**json.loads((folder / "model.json").read_text()), "name": "modèle 1"}
    (folder / "model.json").write_text(json.dumps(info))
    with serving(folder, "modèle 1") as port, socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(f"GET {path}/metadata HTTP/1.0\r\n\r\n".encode())
        with s.makefile("rb") as file:
            head, _, body = file.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and json.loads(body)["name"] == "modèle 1"


def test_paths_of_tensorflow_serving(server: int) -> None:
    status, answer = ask(server, "POST", PREDICT, {"instances": ["good", {"text": "good"}]})
    first, second = answer["predictions"]
    assert (status, first) == (200, second)
    assert first["label"] in ("negative", "positive")
    assert sum(first["probabilities"]) == pytest.approx(1, abs=1e-5)
    with_version = PREDICT.replace(":", "/versions/1:")
    assert ask(server, "POST", with_version, {"instances": ["good"]})[1]["predictions"] == [first]
    _, answer = ask(server, "GET", "/v1/models/reviews")
    assert answer["model_version_status"][0]["state"] == "AVAILABLE"
    _, answer = ask(server, "GET", "/v1/models/reviews/metadata")
    assert answer["labels"] == ["negative", "positive"]
    assert ask(server, "GET", "/v1/models") == (200, {"models": ["reviews"]})
    status, page = ask(server, "GET", "/?text=good")
    assert status == 200 and b"<textarea" in page


def page_in_a_browser(port: int, query: str) -> str:
    """The page as a browser has it after its scripts."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000"]
    return subprocess.run(
        [browser, *flags, "--dump-dom", f"http://127.0.0.1:{port}/?{query}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_page_of_a_regression_of_pairs(tmp_path: pathlib.Path, odd_vocab_file: str) -> None:
    """It waits for the second text."""
    student = write_student(tmp_path / "student", random_model(odd_vocab_file, labels=()))
    flags = {"formats": "litert", "quantization": "none", "measure": False, "pairs": True}
    run_script("export_model", input_path=student, output_dir=tmp_path / "out", **flags)
    with serving(tmp_path / "out", "student") as port:
        whole = page_in_a_browser(port, "text_a=a&text_b=b")
        first = page_in_a_browser(port, "text_a=a")
        asked = {"instances": [["a", "b"]]}
        _, answer = ask(port, "POST", "/v1/models/student:predict", asked)
    assert f"Score: {answer['predictions'][0]['score']:.3f}" in whole
    assert "Score" not in first.partition("<script>")[0] and "Two texts" in first


def test_page_in_a_browser(server: int) -> None:
    page = page_in_a_browser(server, "text=good+film")
    answer = ask(server, "POST", PREDICT, {"instances": ["good film"]})[1]["predictions"][0]
    bars = re.findall(r'<div class="name">(\w+)</div>.*?<div>([\d.]+) %</div>', page)
    assert [name for name, _ in bars] == ["negative", "positive"]
    percents = [float(percent) / 100 for _, percent in bars]
    np.testing.assert_allclose(percents, answer["probabilities"], atol=0.001)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "message"),
    [
        ("POST", PREDICT, b"{", {}, 400, "not JSON"),
        ("POST", PREDICT, b"[" * 5000, {}, 400, "not JSON"),
        ("POST", PREDICT, b"\xff", {}, 400, "not JSON"),
        ("POST", PREDICT, [], {}, 400, "expected a JSON object"),
        ("POST", PREDICT, {"instances": "good"}, {}, 400, "expected a JSON object"),
        ("POST", PREDICT, {"instances": [["a", "b"]]}, {}, 400, "expected a string"),
        ("POST", PREDICT, {"instances": ["a"] * 257}, {}, 413, "at most 256"),
        ("POST", PREDICT, None, {"Content-Length": "9999999"}, 413, "at most 1000000"),
        ("POST", PREDICT, None, {"Content-Length": "-1"}, 411, "Content-Length is needed"),
        ("POST", "/v1/models/other:predict", {}, {}, 404, "/v1/models/reviews"),
        ("POST", "/v1/models/reviews", {}, {}, 405, "POST asks"),
        ("GET", PREDICT, None, {}, 405, "by POST"),
        ("GET", "/../model.json", None, {}, 404, "nothing is at"),
        ("PUT", PREDICT, b"", {}, 501, "Unsupported method"),
    ],
)
def test_errors_are_json(
    server: int,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    status: int,
    message: str,
) -> None:
    found, answer = ask(server, method, path, body, headers)
    assert found == status and set(answer) == {"error"}
    assert message in answer["error"]


def test_slow_clients_are_let_go_and_others_served(server: int) -> None:
    slow = [socket.create_connection(("127.0.0.1", server)) for _ in range(3)]
    slow[0].sendall(b"POST / HT")
    slow[1].sendall(f"POST {PREDICT} HTTP/1.1\r\nContent-Length: 100\r\n\r\n".encode())
    end = time.monotonic() + 5
    ended: set[int] = set()
    while len(ended) < 3 and time.monotonic() < end:
        assert ask(server, "GET", "/v1/models/reviews")[0] == 200
        for i, connection in enumerate(slow):
            try:
                if i not in ended:
                    connection.settimeout(0.05)
                    if i == 2:
                        connection.sendall(b"G")  # A byte at a time is too slow as well.
                    if not connection.recv(4096):
                        ended.add(i)
            except TimeoutError:
                pass
            except OSError:
                ended.add(i)
    assert ended == {0, 1, 2}


def test_many_connections(server: int) -> None:
    """At a time no more than allowed, and those get right answers."""
    expected = ask(server, "POST", PREDICT, {"instances": ["good"]})[1]

    def request(_: int) -> tuple[int, Any]:
        return ask(server, "POST", PREDICT, {"instances": ["good"]})

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert set(map(str, pool.map(request, range(60)))) == {str((200, expected))}
    held = [socket.create_connection(("127.0.0.1", server)) for _ in range(8)]
    time.sleep(0.1)
    status, answer = ask(server, "GET", "/v1/models")
    assert (status, answer["error"]) == (503, "too many connections; try again")
    for connection in held:
        connection.close()


def test_ports_that_cannot_be_had(shipped: pathlib.Path, server: int) -> None:
    command = [sys.executable, "server.py"]
    for flag, message in (
        ("--port=99999", "--port=99999: expected a number from 0 to 65535"),
        ("--max_connections=0", "--max_connections=0: expected 1 or more"),
        (f"--port={server}", f"ERROR: --host=127.0.0.1 --port={server}: .*; pass another --port"),
        ("--model=no.tflite", "ERROR: --model=no.tflite: there is no "),
    ):
        result = subprocess.run(
            [*command, flag], cwd=shipped, capture_output=True, text=True, check=False
        )
        assert result.returncode and "Traceback" not in result.stderr
        assert re.search(message, result.stderr)
