"""The edges, each with its inputs and what must hold of any of them."""

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import httpx
from hypothesis import strategies as st

from kling_nb import errors
from kling_nb.catalog import DEFAULT_ENDPOINT
from kling_nb.errors import KlingError
from kling_nb.events import State
from kling_nb.fal.hosts import Hosts
from kling_nb.fal.http import Http
from kling_nb.fal.patience import Patience
from kling_nb.fal.queue import QueueClient
from kling_nb.fal.replies import CancelOutcome, QueueResult, Status
from kling_nb.ledger import Intent, Ledger
from kling_nb.media import Sidecar
from kling_nb.notebook import tables as listing
from kling_nb.notebook.flags import parse_line

from . import inputs

HOSTS = Hosts(queue="http://127.0.0.1:9", rest="http://127.0.0.1:9", api="http://127.0.0.1:9")
REF = HOSTS.ref(DEFAULT_ENDPOINT, "r-1")


@dataclass(frozen=True)
class Edge:
    """A place where something comes in from outside."""

    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], None]


class Canned(httpx.AsyncBaseTransport):
    """A network that gives one answer, whatever it is asked."""

    def __init__(self) -> None:
        self.answer: tuple[int, Mapping[str, str], bytes] = (200, {}, b"")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        status, headers, body = self.answer
        return httpx.Response(status, headers=headers, stream=Body(body))


class Body(httpx.AsyncByteStream):
    """Bytes in two pieces."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        half = len(self._data) // 2
        yield self._data[:half]
        yield self._data[half:]


async def _at_once(seconds: float) -> None:
    assert 0 <= seconds <= 31, f"a wait of {seconds} s"


class Network:
    """A loop, a canned network and a client on it; made once, as that takes longer than an input."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.canned = Canned()
        patience = Patience(sleep=_at_once)
        self.client = QueueClient(Http(HOSTS, lambda: None, patience=patience, transport=self.canned))

    def close(self) -> None:
        self.loop.run_until_complete(self.client.aclose())
        self.loop.close()


_networks: list[Network] = []


def _ask(reply: tuple[int, Mapping[str, str], bytes], ask: Callable[[QueueClient], Any]) -> Any:
    if not _networks:
        _networks.append(Network())
    network = _networks[0]
    network.canned.answer = reply
    return network.loop.run_until_complete(ask(network.client))


def close() -> None:
    """End the network that the edges share."""
    while _networks:
        _networks.pop().close()


def magic_line(line: str) -> None:
    with suppress(KlingError):
        parse_line(line, default_endpoint=DEFAULT_ENDPOINT)


def event_stream(body: bytes) -> None:
    async def read(client: QueueClient) -> None:
        async for status in client.stream(REF):
            assert isinstance(status, Status)
            assert isinstance(status.state, str)

    with suppress(errors.UnreachableError):
        _ask((200, {"content-type": "text/event-stream"}, body), read)


def status_body(reply: Any) -> None:
    with suppress(KlingError):
        assert isinstance(_ask(reply, lambda client: client.status(REF)), Status)


def result_body(reply: Any) -> None:
    result = _try(lambda: _ask(reply, lambda client: client.result(REF)))
    assert isinstance(result, QueueResult | KlingError)


def _try(act: Callable[[], Any]) -> Any:
    """Return its result, or its typed error, which must have at most four lines."""
    try:
        return act()
    except KlingError as fault:
        error = fault
    assert len(str(error).splitlines()) <= 4, error
    return error


def cancel_body(reply: Any) -> None:
    with suppress(KlingError):
        assert isinstance(_ask(reply, lambda client: client.cancel(REF)), CancelOutcome)


def submit_body(reply: Any) -> None:
    """Whatever the answer: an id, a refusal, or that it is not known. All addresses are on a known host."""
    answer = _try(lambda: _ask(reply, lambda client: client.submit(DEFAULT_ENDPOINT, {"prompt": "a cat"})))
    if isinstance(answer, KlingError):
        assert reply[0] < 500 or isinstance(answer, errors.SubmissionUncertain) or _says_why(reply)
        return
    assert answer.ref.request_id
    for url in (answer.ref.status_url, answer.ref.response_url, answer.ref.cancel_url):
        assert HOSTS.may_see_key(url)


def _says_why(reply: tuple[int, Mapping[str, str], bytes]) -> bool:
    return "x-fal-error-type" in reply[1] or b"error_type" in reply[2]


def sidecar(data: bytes) -> None:
    try:
        found = Sidecar.from_json(data)
    except errors.MediaError:
        return
    assert Path(found.file).name == found.file


SIDECARS = st.one_of(
    inputs.BODIES,
    st.dictionaries(
        st.sampled_from([field.name for field in fields(Sidecar)]),
        inputs.ANYTHING | st.sampled_from(["../a.mp4", "a/b.mp4", "C:\\a.mp4", "a.mp4", "fal", "video"]),
    ).map(lambda value: json.dumps({"kling_nb": 1, **value}).encode()),
)


class Rows:
    """Rows of a ledger, as anything may have left them there."""

    TEXTS = ("state", "owner", "input", "result", "request_id", "status_url", "error", "media_path", "units")
    NUMBERS = ("created_at", "finished_at", "sent_at", "reserved_usd")

    @classmethod
    def inputs(cls) -> st.SearchStrategy[Any]:
        words = st.sampled_from([*(state.value for state in State), "host:1:x", "a:b:c", "{}", "[]", "x"])
        texts = st.dictionaries(st.sampled_from(cls.TEXTS), words | inputs.TEXT, min_size=1, max_size=5)
        numbers = st.dictionaries(st.sampled_from(cls.NUMBERS), st.floats(allow_nan=False), max_size=3)
        return st.tuples(texts, numbers).map(lambda pair: {**pair[0], **pair[1]})

    @classmethod
    def check(cls, columns: Mapping[str, Any]) -> None:
        ledger, row = cls._ledger()
        db = sqlite3.connect(ledger.path, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = OFF")
            names = ", ".join(f"{name} = ?" for name in columns)
            with suppress(sqlite3.Error):
                db.execute(f"UPDATE jobs SET {names} WHERE id = ?", (*columns.values(), row))
        finally:
            db.close()
        with suppress(KlingError):
            (entry,) = ledger.entries()
            assert isinstance(entry.state, State)
            assert isinstance(entry.input, dict)
            _ = entry.is_abandoned, entry.owner_alive, entry.has_no_file, entry.is_ours
            assert listing.jobs([entry])
            ledger.expected_seconds(entry.endpoint, entry.backend)
            listing.spending(ledger.spending("day"), "day")

    @classmethod
    def _ledger(cls) -> tuple[Ledger, str]:
        if not _ledgers:
            folder = tempfile.TemporaryDirectory(prefix="kling_nb-rows-")
            _ledgers.append((folder, Ledger(Path(folder.name) / "ledger.sqlite3")))
        ledger = _ledgers[0][1]
        if not (ledger.exists() and ledger.count()):
            ledger.claim(Intent("fal", DEFAULT_ENDPOINT, {"prompt": "a"}, "a", "f" * 64, Path("/media")))
        db = sqlite3.connect(ledger.path)
        try:
            return ledger, db.execute("SELECT id FROM jobs").fetchone()[0]
        finally:
            db.close()


_ledgers: list[Any] = []

EDGES: Mapping[str, Edge] = {
    "magic line": Edge(inputs.MAGIC_LINES, magic_line),
    "event stream": Edge(inputs.FRAMES, event_stream),
    "status reply": Edge(inputs.REPLIES, status_body),
    "result reply": Edge(inputs.REPLIES, result_body),
    "cancel reply": Edge(inputs.REPLIES, cancel_body),
    "submit reply": Edge(inputs.REPLIES, submit_body),
    "sidecar": Edge(SIDECARS, sidecar),
    "ledger row": Edge(Rows.inputs(), Rows.check),
}
