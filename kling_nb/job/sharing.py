"""`Sharing`: one job and the studio's library, which many machines share (`library/`).

When the job is READY, its take is stored in the library too: in the background, after the local file.
"""

from __future__ import annotations

import asyncio
import logging

from kling_nb.errors import LibraryError, MediaError
from kling_nb.events import Event, JobState, State
from kling_nb.job.connections import Connections
from kling_nb.job.record import JobRecord
from kling_nb.settings import Settings

log = logging.getLogger(__name__)

PUSH_WAITS = (1.0, 5.0)
"""Seconds before each further try to store a take in the library."""


class Sharing:
    """A job and the library. Background thread.

    Args:
        record: The job and its row.
        connections: Gives the library.
        settings: The settings of the job, with a library.
    """

    def __init__(self, record: JobRecord, connections: Connections, settings: Settings) -> None:
        self._job = record.job
        self._connections = connections
        self._library = connections.library(settings)
        self._job.subscribe(self._follow)

    def _follow(self, _: Event, state: JobState) -> None:
        """Start to store the take as soon as there is one, before any caller knows that the job has ended."""
        if state.state is State.READY:
            self._connections.push(self._push())

    async def _push(self) -> None:
        """Store the take. A failure is a warning, because the take itself is stored."""
        take = self._job._take
        if take is None:
            return
        for seconds in (*PUSH_WAITS, None):
            try:
                await asyncio.to_thread(self._library.push, take)
                return
            except (LibraryError, MediaError) as fault:
                if seconds is None:
                    text = "%s is not in the library yet: %s Later: kling-nb library push"
                    log.warning(text, take.path.name, fault.message)
                    return
            await self._connections.sleep(seconds)
