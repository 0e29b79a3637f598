"""A web server that holds back its one file until the test opens the gate. Tests hold a job with it."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Gate:
    """Use it in a `with` block.

    Attributes:
        url: URL of the file, on loopback. A request for it waits.
    """

    def __init__(self) -> None:
        gate = self
        self._open = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate._open.wait()
                self.close_connection = True  # without an answer: nothing is left to be done with the file

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_port}/held.png"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def open(self) -> None:
        """Let everyone through who waits."""
        self._open.set()

    def __exit__(self, *_: object) -> None:
        self.open()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
