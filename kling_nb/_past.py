"""Jobs that ended before: of a take on disk, of a row in the ledger."""

from __future__ import annotations

from kling_nb._job import Job
from kling_nb._verdict import gone
from kling_nb.engine import Engine
from kling_nb.errors import KlingError
from kling_nb.events import Failed, JobState, Logged, State
from kling_nb.ledger import Entry
from kling_nb.media import MediaFolder, Take
from kling_nb.request import VideoRequest


class PastJobs:
    """Makes them.

    Args:
        engine: Every job has it.
        maker: The session they belong to.
    """

    def __init__(self, engine: Engine, maker: object) -> None:
        self._engine = engine
        self._maker = maker

    def of_row(self, request: VideoRequest, entry: Entry, media: MediaFolder) -> Job:
        """A job that ended in an earlier session.

        Args:
            request: What was asked for.
            entry: Its row.
            media: The folder it was filed in.
        """
        job = self.begun(request, entry)
        job.finished_at = entry.finished_at
        if entry.state is State.READY:
            take = media.filed(entry.request_id or "", entry.backend)
            if take is not None:
                return self.of_take(request, take, job=job, units=entry.units, reused=False)
            text = f"The file of job {entry.id} is no longer in {entry.folder}."
            job.apply(Failed(KlingError(text, request_id=entry.request_id)))
        elif entry.state is State.CANCELLED:
            job.restore(JobState(state=State.CANCELLED, request_id=entry.request_id))
        elif entry.gone:
            job.apply(Failed(gone(entry)))
        else:
            text = entry.error or "It failed."
            job.apply(Failed(KlingError(text, request_id=entry.request_id)))
        return job

    def begun(self, request: VideoRequest, entry: Entry) -> Job:
        """The job of a row, at its beginning."""
        job = Job(
            entry.id,
            request=request,
            backend=entry.backend,
            engine=self._engine,
            created_at=entry.created_at,
        )
        job.maker = self._maker
        return job

    def of_take(
        self,
        request: VideoRequest,
        take: Take,
        *,
        job: Job | None = None,
        units: str | None = None,
        reused: bool = True,
    ) -> Job:
        """A job that is READY because its take exists."""
        sidecar = take.sidecar
        job = job or Job(
            f"take-{sidecar.fingerprint[:8]}-{sidecar.take}",
            request=request,
            backend=sidecar.backend,
            engine=self._engine,
        )
        job.maker = self._maker
        job.reused = reused
        job.take_in(take)
        job.restore(
            JobState(
                state=State.READY,
                request_id=sidecar.request_id,
                units=units or sidecar.billable_units,
                lines=len(sidecar.lines),
            ),
            lines=[Logged(message, timestamp) for timestamp, message in sidecar.lines],
        )
        return job
