"""`ScriptedFal`: the server as a test holds it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from .cdn import Cdn
from .exchange import Desk
from .faults import Fault, FaultList, make
from .job import Job, Submission
from .kinds import Hosts
from .listeners import PATIENCE, Listeners
from .platform_api import PlatformApi
from .queue_api import QueueApi, Scripts
from .records import Record, Recorder
from .routes import EXCHANGES
from .script import Script
from .storage import Storage

KEY = "5c0e1a57-0000-4000-8000-feedfacecafe:0123456789abcdef0123456789abcdef"


class ScriptedFal:
    """fal on loopback, in a thread with its own loop; to be used in a `with` block.

    Every method and attribute here is for the test's thread. Methods that touch a job
    return when it is done, so no waiting is needed after them.

    Attributes:
        key: the one key that is let in, `id:secret`.
        queue: jobs and scripts; `queue.apps` are the known applications.
        platform: prices, OpenAPI documents, whether payloads are kept.
        cdn: files; `cdn.get(url)` is an uploaded one.

    Args:
        key: another key than the usual one.
        id_prefix: first group of the request ids, for tests with two servers.
    """

    def __init__(self, *, key: str = KEY, id_prefix: str = "019e0000") -> None:
        self.key = key
        self.queue: QueueApi
        self.platform: PlatformApi
        self.cdn: Cdn
        self._id_prefix = id_prefix
        self._recorder = Recorder()
        self._faults = FaultList()
        self._listeners = Listeners()
        self._desk = Desk(lambda: self.key, self._recorder, self._faults)

    def __enter__(self) -> Self:
        self._listeners.start()
        self._listeners.open(self._desk.serve)
        self.cdn = Cdn(self.media_url)
        self.queue = QueueApi(
            url=self.url,
            cdn=self.cdn,
            id_prefix=self._id_prefix,
            on_loop=self._listeners.call,
            changed=self._recorder.ring,
        )
        self.platform = PlatformApi(self.queue, self.cdn)
        self._desk.furnish(self.queue, self.platform, Storage(self.cdn), self.cdn)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listeners.shut(self._desk.hang_up)
        self._listeners.stop()
        if error is None and self._desk.problems:
            raise ExceptionGroup("inside the scripted server", self._desk.problems)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Inside the block nothing listens: connections are refused, open ones are ended."""
        self._listeners.shut(self._desk.hang_up)
        try:
            yield
        finally:
            self._listeners.open(self._desk.serve)

    # addresses

    @property
    def url(self) -> str:
        """Origin of queue, REST and platform API."""
        return f"http://127.0.0.1:{self._listeners.ports['fal']}"

    @property
    def media_url(self) -> str:
        """Origin of the CDN: another host name and port."""
        return f"http://localhost:{self._listeners.ports['media']}"

    # jobs

    @property
    def script(self) -> Script:
        """What submissions get for which nothing else is laid down."""
        return self.scripts.default

    @script.setter
    def script(self, script: Script) -> None:
        self.scripts.default = script

    @property
    def scripts(self) -> Scripts:
        """`scripts.queue.extend([...])`: the next submissions one by one; `scripts.of_endpoint[id]`."""
        return self.queue.scripts

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All accepted jobs, oldest first."""
        with self._recorder.changed:
            return tuple(self.queue.jobs.values())

    def job(self, request_id: str | None = None) -> Job:
        """A job by its id, or the only one."""
        if request_id is not None:
            return self.queue.jobs[request_id]
        (job,) = self.jobs
        return job

    def remember(self, submission: Submission, script: Script) -> None:
        """Know a request that was accepted before this server began; it is among `jobs` from now on."""
        self._listeners.call(lambda: self.queue.accept(submission, script))

    @property
    def accepted(self) -> tuple[Submission, ...]:
        """Submissions that were taken, each of which fal would charge."""
        return tuple(job.submission for job in self.jobs)

    def advance(self, request_id: str | None = None) -> None:
        """Take the next step of a job (the only one), whatever it waits for."""
        self.job(request_id).advance()

    def release(self, request_id: str | None = None) -> None:
        """Let a job (the only one) past its `Hold`."""
        self.job(request_id).release()

    # faults

    def fault(
        self,
        exchange: str,
        kind: str,
        *,
        times: int | None = 1,
        skip: int = 0,
        handled: bool = False,
        client: str = "",
        **options: Any,
    ) -> Fault:
        """Arm a fault, see `faults`.

        Args:
            exchange: one of `FAULT_POINTS`; "connect" strikes before a byte is read.
            kind: one of `kinds_for(exchange)`.
            times: how often; None is always.
            skip: so many of these exchanges go well first.
            handled: for replies: the work is done all the same.
            client: strike only clients with this in their name (`User-Agent`).
            **options: of that kind.

        Raises:
            ValueError: no such exchange, kind or place, or the two do not go together.
            TypeError: the kind has no such option.
        """
        effect = make(exchange, kind, Hosts(self.url, self.media_url), options)
        fault = Fault(exchange, kind, effect, times, skip, handled, self._listeners.call, client)
        self._faults.add(fault)
        return fault

    def clear_faults(self) -> None:
        """From now on all goes well."""
        self._faults.clear()

    @property
    def unused_faults(self) -> tuple[Fault, ...]:
        """Faults that met no exchange yet; a test of a fault may assert that there are none."""
        return self._faults.unused

    # what happened

    @property
    def requests(self) -> tuple[Record, ...]:
        """Everything that arrived on either listener, in order."""
        return self._recorder.all

    def count(self, exchange: str) -> int:
        """How many requests of that exchange arrived."""
        assert exchange in EXCHANGES, exchange
        return len(self._recorder.of(exchange))

    def last(self, exchange: str) -> Record:
        """The newest request of that exchange."""
        return self._recorder.of(exchange)[-1]

    @property
    def connections(self) -> int:
        """How many connections were accepted on either listener."""
        return self._desk.connections

    @property
    def open_streams(self) -> int:
        """Status streams that are open now."""
        return self._desk.open_streams

    @property
    def stray_keys(self) -> tuple[Record, ...]:
        """Requests that brought the key, or any credential but the CDN's own token, to the media host."""
        secret = self.key.partition(":")[2]
        own = f"Bearer {self.cdn.token}"
        return tuple(
            record
            for record in self.requests
            if record.listener == "media"
            and (record.carries(secret) or record.headers.get("authorization", own) != own)
        )

    def wait_for(self, what: str | Callable[[], object], count: int = 1, timeout: float = PATIENCE) -> object:
        """Block until `count` requests of an exchange have arrived, or a callable holds; gives its value.

        In a coroutine: `await asyncio.to_thread(fal.wait_for, …)`.

        Raises:
            AssertionError: it did not come within `timeout` seconds.
        """
        assert callable(what) or what in EXCHANGES, what
        return self._recorder.wait_for(what, count, timeout)
