"""The status stream: one event for each step of a job, log lines as deltas, comments in between."""

import asyncio

from .job import Job
from .message import Frames
from .status import status_of
from .stream_faults import event

PING = b": ping\n\n"


async def events(base: str, job: Job, *, logs: bool, ping_every: float) -> Frames:
    """Events from the job's present state to its end; then the stream closes.

    The first event repeats the lines of the log window, as after a reconnection; each later
    one brings only what is new. When all that has happened is sent, the stream is a look at
    the job. After `ping_every` seconds without news comes a comment.
    """
    index = first = len(job.history) - 1
    window = job.script.log_window
    sent = 0 if window is None else max(0, job.history[index].logs - window)
    while True:
        snapshot = job.history[index]
        if snapshot.ping and index > first:
            yield PING
        else:
            lines = job.log[sent : snapshot.logs] if logs else None
            yield event(status_of(base, job, snapshot, lines))
            sent = snapshot.logs
        if snapshot.final:
            return
        while index + 1 == len(job.history) and not job.forgotten:
            if await _quiet(job, ping_every):
                yield PING
        if job.forgotten:
            return
        index += 1


async def _quiet(job: Job, seconds: float) -> bool:
    """Wait for the job's next step; True if none came in that time."""
    news = job.news
    if job.look():
        return False
    try:
        await asyncio.wait_for(news.wait(), seconds)
    except TimeoutError:
        return True
    return False
