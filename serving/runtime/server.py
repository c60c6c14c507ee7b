"""A server for the model in this folder, with the REST paths of TensorFlow Serving.

  python server.py --port=8501
A page to try it is at http://localhost:8501/; programs ask
  curl -d '{"instances": ["a film that never drags"]}' localhost:8501/v1/models/NAME:predict

Paths, NAME as in `model.json`:
  POST /v1/models/NAME:predict    {"instances": [...]} -> {"predictions": [...]}; an instance is a
                                  text or {"text": ...}; of a pair model [a, b] or {"text_a": ...,
                                  "text_b": ...}
  GET  /v1/models                 {"models": [NAME]}
  GET  /v1/models/NAME            whether it serves
  GET  /v1/models/NAME/metadata   labels, longest input, kind of input
Errors are {"error": "..."} with a status of 4xx or 5xx.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote_to_bytes

# The file beside this one, not the script of the project.
from predict import HERE, Classifier, open_classifier  # type: ignore[attr-defined]

# Limits: bytes of a request, texts in it, seconds that a client may take for a request, and
# connections at a time.
MAX_BYTES, MAX_INSTANCES, TIMEOUT_SECONDS, MAX_CONNECTIONS = 1_000_000, 256, 10.0, 128

_MODEL_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/1)?(:predict|/metadata)?")


class BadRequest(Exception):
    """A request that is refused, with its HTTP status."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One connection, which may send many requests."""

    protocol_version = "HTTP/1.1"
    server_version = "student"
    timeout = TIMEOUT_SECONDS
    # An answer is one packet; without this it would wait for the client's acknowledgement.
    disable_nagle_algorithm = True
    server: Server
    # Since when the client is to send its next request; None while that is answered.
    waiting_since: float | None

    def setup(self) -> None:
        self.waiting_since = time.monotonic()
        self.server.handlers.add(self)
        super().setup()

    def finish(self) -> None:
        self.server.handlers.discard(self)
        super().finish()

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_POST(self) -> None:
        self._respond(self._post)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Errors of the base class, which would be pages of HTML."""
        self.close_connection = True
        self._send(code, {"error": message or self.responses.get(code, ("error",))[0]})

    def log_message(self, format: str, *args: Any) -> None:
        """Writes nothing: a line for each request would take longer than the request."""

    def _respond(self, answer: Any) -> None:
        try:
            self._send(200, answer())
        except BadRequest as error:
            # What may be left of the body would be taken for the next request.
            self.close_connection = True
            self._send(error.status, {"error": str(error)})

    def _get(self) -> Any:
        if self.path.partition("?")[0] in ("/", "/index.html"):
            return self.server.page
        if self.path == "/v1/models":
            return {"models": [self.server.classifier.info["name"]]}
        action = self._action()
        if action == ":predict":
            raise BadRequest(405, "predictions are asked for by POST")
        classifier = self.server.classifier
        if action == "/metadata":
            keys = ("name", "labels", "pairs", "max_seq_length", "output", "do_lower_case")
            return {key: classifier.info[key] for key in keys}
        status = {"error_code": "OK", "error_message": ""}
        return {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": status}]}

    def _post(self) -> Any:
        if self._action() != ":predict":
            raise BadRequest(405, "POST asks for predictions, at /v1/models/NAME:predict")
        body = self._body()
        instances = body.get("instances") if isinstance(body, dict) else None
        if not isinstance(instances, list):
            raise BadRequest(400, 'expected a JSON object {"instances": [...]}')
        if len(instances) > MAX_INSTANCES:
            raise BadRequest(413, f"{len(instances)} instances, expected at most {MAX_INSTANCES}")
        try:
            return {"predictions": self.server.classifier.predict(list(map(_texts, instances)))}
        except ValueError as error:
            raise BadRequest(400, f"an instance is of another kind: {error}") from None

    def _action(self) -> str:
        """The request to the model: "", ":predict" or "/metadata"."""
        match = _MODEL_PATH.fullmatch(self.path)
        name = self.server.classifier.info["name"]
        # Quoted or as it is, its letters are those of UTF-8; the base class reads single bytes.
        if match is None or unquote_to_bytes(match[1].encode("latin-1")) != name.encode():
            raise BadRequest(
                404, f"nothing is at {self.path[:100]}; the model is /v1/models/{name}"
            )
        return match[2] or ""

    def _body(self) -> Any:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise BadRequest(411, "a Content-Length is needed")
        if int(length) > MAX_BYTES:
            raise BadRequest(413, f"{int(length)} bytes, expected at most {MAX_BYTES}")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise BadRequest(400, f"found {len(body)} of {int(length)} bytes")
        self.waiting_since = None
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadRequest(400, f"the request is not JSON ({error})") from None

    def _send(self, status: int, content: Any) -> None:
        is_page = isinstance(content, bytes)
        body = content if is_page else json.dumps(content, ensure_ascii=False).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if is_page else _JSON)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.waiting_since = time.monotonic()


_JSON = "application/json"


class Server(ThreadingHTTPServer):
    """A thread for each connection, up to a number of them."""

    daemon_threads = True
    # The most connections that wait to be accepted.
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], classifier: Classifier, connections: int):
        """Listens.

        Args:
          address: Host and port; port 0 takes a free one.
          classifier: The model that answers.
          connections: The most at a time; others are answered by status 503.
        """
        self.classifier = classifier
        self.handlers: set[Handler] = set()
        self._free = threading.Semaphore(connections)
        with open(os.path.join(HERE, "page.html"), "rb") as file:
            self.page = file.read()
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        # A connection that its client has closed counts until its thread has seen that.
        if self._free.acquire(timeout=0.05):
            super().process_request(request, client_address)
            return
        body = b'{"error": "too many connections; try again"}'
        head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {_JSON}\r\nRetry-After: 1\r\n"
        head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        with contextlib.suppress(OSError):
            request.settimeout(0.05)
            request.recv(1 << 16)  # A request that is left unread would take the answer with it.
            request.sendall(head.encode() + body)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def service_actions(self) -> None:
        """Ends connections of clients that send their request too slowly; called twice a second."""
        too_early = time.monotonic() - TIMEOUT_SECONDS
        for handler in list(self.handlers):
            if handler.waiting_since is not None and handler.waiting_since < too_early:
                with contextlib.suppress(OSError):
                    handler.connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of ours; everything else is printed."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError, socket.timeout)):
            super().handle_error(request, client_address)


def _texts(instance: Any) -> Any:
    """A text or a pair out of the forms that it may have."""
    if isinstance(instance, dict):
        values = list(instance.values())
        if set(instance) == {"text"}:
            return values[0]
        if set(instance) == {"text_a", "text_b"}:
            return [instance["text_a"], instance["text_b"]]
    return instance


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for other machines")
    parser.add_argument("--port", type=int, default=8501, help="from 1 to 65535; 0 for a free one")
    parser.add_argument("--model", help="file of this folder to run, by default that of model.json")
    parser.add_argument("--threads", type=int, default=1, help="threads to compute with")
    parser.add_argument("--max_connections", type=int, default=MAX_CONNECTIONS)
    given = parser.parse_args()
    if not 0 <= given.port <= 65535:
        parser.error(f"--port={given.port}: expected a number from 0 to 65535")
    if given.max_connections < 1:
        parser.error(f"--max_connections={given.max_connections}: expected 1 or more")
    classifier = open_classifier(given.model, given.threads)
    classifier.outputs("warm-up", "warm-up" if classifier.pairs else None)
    try:
        server = Server((given.host, given.port), classifier, given.max_connections)
    except OSError as error:  # The port is taken or reserved, or there is no such host.
        sys.exit(
            f"ERROR: --host={given.host} --port={given.port}: {error.strerror or error}; pass "
            "another --port, such as 0 for a free one, or another --host."
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = server.server_address[1]
    print(f"Serving {classifier.info['name']} at http://{given.host}:{port}/", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
