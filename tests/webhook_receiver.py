"""A web server that keeps what is posted to it and answers as the test wants; for several folders."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """What came, and what to answer: one code for each request, the last one for all further ones."""

    url: str
    codes: list[int] = field(default_factory=lambda: [200])
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def take(self, count: int = 1) -> tuple[dict[str, str], bytes]:
        """Wait for so many more requests; gives the last of them."""
        for _ in range(count):
            assert self.came.acquire(timeout=30), "no webhook came"
        return self.seen[-1]


@contextmanager
def receiving(*codes: int) -> Iterator[Receiver]:
    """A receiver that listens on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            code = receiver.codes[min(len(receiver.seen), len(receiver.codes) - 1)]
            receiver.seen.append((dict(self.headers.items()), body))
            if code:
                self.send_response(code)
                if 300 <= code < 400:
                    self.send_header("Location", receiver.url)
                self.send_header("Content-Length", "0")
                self.end_headers()
            receiver.came.release()

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook?of=fal&a=b")
    receiver.codes = list(codes) or [200]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
