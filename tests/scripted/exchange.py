"""One request from its first byte to the last of its reply: recorded, met by a fault or not, answered."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace

from .cdn import Cdn
from .connection import Connection
from .faults import Fault, FaultList
from .message import BadRequest, Frames, Head, Reply
from .platform_api import PlatformApi, problem
from .queue_api import Handlers, QueueApi
from .records import Listener, Recorder
from .routes import PUBLIC, Route, route
from .storage import Storage


def handlers(queue: QueueApi, platform: PlatformApi, storage: Storage, cdn: Cdn) -> Handlers:
    """Who answers which exchange."""
    return {
        "submit": queue.submit,
        "status": queue.status,
        "stream": queue.stream,
        "result": queue.result,
        "cancel": queue.cancel,
        "upload_initiate": storage.initiate,
        "upload_token": storage.token,
        "multipart_initiate": storage.initiate_multipart,
        "lookup": platform.lookup,
        "pricing": platform.pricing,
        "sign": platform.sign,
        "models": platform.models,
        "bills": platform.bills,
        "openapi": platform.document,
        "download": cdn.download,
        "upload": cdn.upload,
        "multipart_start": cdn.multipart_start,
        "multipart_part": cdn.multipart_part,
        "multipart_complete": cdn.multipart_complete,
    }


class Desk:
    """Serves the connections of both listeners. Belongs to the server's loop.

    `problems` holds what went wrong in this server itself, so that a test fails by it.
    """

    def __init__(self, key: Callable[[], str], recorder: Recorder, faults: FaultList) -> None:
        self.problems: list[Exception] = []
        self.connections = 0
        self.open_streams = 0
        self._handlers: Handlers = {}
        self._apps: set[str] = set()
        self._key = key
        self._recorder = recorder
        self._faults = faults
        self._tasks: set[asyncio.Task[None]] = set()

    def furnish(self, queue: QueueApi, platform: PlatformApi, storage: Storage, cdn: Cdn) -> None:
        """Say who answers, once the addresses are known that the answers name."""
        self._handlers = handlers(queue, platform, storage, cdn)
        self._apps = queue.apps

    def serve(self, listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a new connection."""
        task = asyncio.create_task(self._converse(listener, Connection(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def hang_up(self) -> None:
        """End every connection."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, listener: Listener, connection: Connection) -> None:
        self.connections += 1
        try:
            with suppress(ConnectionError):
                await self._requests(listener, connection)
        except asyncio.CancelledError:
            connection.abort()
            raise
        except Exception as error:  # noqa: BLE001 - kept for the test, which would otherwise see only a hang-up
            self.problems.append(error)
        finally:
            await connection.close()

    async def _requests(self, listener: Listener, connection: Connection) -> None:
        fault = self._faults.take("connect")
        if fault and fault.effect.cut and not await connection.act(fault.effect.cut):
            return
        try:
            while await self._one(listener, connection):
                pass
        except BadRequest as error:
            await connection.send(Reply.json(400, {"detail": f"not HTTP: {error}"}))

    async def _one(self, listener: Listener, connection: Connection) -> bool:
        """One request and its reply; True if another may follow on this connection."""
        head = await connection.read_head()
        if head is None:
            return False
        where = route(listener, head)
        fault = self._faults.take(where.exchange, head.header("user-agent") or "")
        kind = fault.kind if fault else None
        if fault and fault.before_body and fault.effect.cut:
            part = await connection.read_part(head) if fault.effect.cut.at == "in_body" else b""
            self._recorder.add(where.exchange, listener, head, part, False, kind)
            if not await connection.act(fault.effect.cut):
                return False
        body, complete = await connection.read_body(head)
        # a test that sees the record also sees what the request did
        with self._recorder.changed:
            if not (fault and fault.before_body):
                self._recorder.add(where.exchange, listener, head, body, complete, kind)
            if not complete:
                return False
            reply = self._count_open(self._answer(where, listener, head, body, fault))
        # a stall before the body is over by now
        cut = fault.effect.cut if fault and not fault.before_body else None
        return await connection.send(reply, cut)

    def _count_open(self, reply: Reply) -> Reply:
        """A stream counts as open until its last byte is out or the client has gone."""
        if reply.frames is None:
            return reply

        async def frames(inner: Frames) -> Frames:
            self._count(1)
            try:
                async with aclosing(inner):
                    async for frame in inner:
                        yield frame
            finally:
                self._count(-1)

        return replace(reply, frames=frames(reply.frames))

    def _count(self, change: int) -> None:
        self.open_streams += change
        self._recorder.ring()

    def _answer(
        self, where: Route, listener: Listener, head: Head, body: bytes, fault: Fault | None
    ) -> Reply:
        if fault is None:
            return self._real(where, listener, head, body)
        if fault.effect.instead is not None:
            if fault.handled:
                self._real(where, listener, head, body)
            return fault.effect.instead(head)
        reply = self._real(where, listener, head, body)
        return reply if fault.effect.edit is None else fault.effect.edit(reply)

    def _real(self, where: Route, listener: Listener, head: Head, body: bytes) -> Reply:
        if (
            listener == "fal"
            and where.exchange not in PUBLIC
            and head.header("authorization") != f"Key {self._key()}"
        ):
            return self._no_entry(where, head)
        handler = self._handlers.get(where.exchange)
        if handler is not None:
            return handler(where, head, body)
        if listener == "fal" and where.app in self._apps:
            return Reply.json(405, {"detail": "Method Not Allowed"})
        return Reply.json(404, {"detail": f"Path {head.path} not found"})

    def _no_entry(self, where: Route, head: Head) -> Reply:
        if where.exchange in ("lookup", "pricing", "sign", "bills"):
            return problem(401, "authorization_error", "A valid API key is needed")
        if head.header("authorization") is not None:
            return Reply.json(401, {"detail": "Invalid key credentials"})
        app = where.app or "storage"
        return Reply.json(401, {"detail": f'Cannot access application "{app}". Authentication is required.'})
