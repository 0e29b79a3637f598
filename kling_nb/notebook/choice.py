"""`NamedCell`: a `%%kling NAME` cell for which a take can be chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kling_nb.errors import UsageError
from kling_nb.job.job import Job
from kling_nb.session import Session


class NamedCell:
    """A `%%kling NAME` cell. "Use this take" in its views chooses the take that NAME stands for.

    The choice is in the sidecar of the take. So it holds for every cell with this request and NAME, in all
    notebooks of the media folder.

    Args:
        name: NAME.
        fingerprint: Fingerprint of the cell's request.
        session: Stores the choice.
        shell: The shell that has the variable.
        scope: Name of the media folder.

    Attributes:
        chosen: The job whose take was chosen since the cell was run, or None.
        draw: Draws the card of the cell's output again, with the take of a job.
    """

    def __init__(self, name: str, fingerprint: str, session: Session, shell: Any, scope: str) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.scope = scope
        self.chosen: Job | None = None
        self.draw: Callable[[Job], None] = lambda job: None
        self._session, self._shell = session, shell

    def choose(self, job: Job) -> str:
        """Choose the take of a job, and return what that means, in words.

        Raises:
            UsageError: The job has no take.
            MediaError: The sidecar cannot be written.
        """
        take = job._take
        if take is None:
            raise UsageError("This job has no take yet.", remedy="Wait until it is ready.")
        self._session._choose(take, self.fingerprint, self.name)  # noqa: SLF001
        self.chosen = job
        self._shell.push({self.name: job.result})
        self.draw(job)
        if job.backend == "local":
            return f"{self.name} is this preview. It never replaces a video of fal."
        return f"{self.name} is this take, in all notebooks with {self.scope}."
