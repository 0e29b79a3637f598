"""There is one `Job` for each row while it runs or is used. After that, its memory is freed."""

import gc
from weakref import ref

from scripted import Done, Hold, Run, Script, ScriptedFal

from kling_nb.session import Session


def test_a_running_job_is_the_same_for_all_who_ask(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    first = session.submit("a cat")
    assert session.submit("a cat") is first
    fal.wait_for("stream")
    assert session.get_job(first.id) is first
    assert session.get_job(str(first.request_id)) is first
    fal.release()
    first.wait()
    assert session.get_job(first.id) is first


def test_a_job_without_a_reference_runs_on(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    job_id = session.submit("a cat").id
    fal.wait_for("stream")
    gc.collect()
    again = session.get_job(job_id)
    assert not again.done
    fal.release()
    assert again.wait() is not None
    assert len(fal.accepted) == 1


def test_finished_jobs_are_forgotten(session: Session) -> None:
    job = session.submit("a cat")
    job.wait()
    seen, job_id = ref(job), job.id
    session._background.spawn(_nothing()).result()  # its task on the background thread has ended
    del job
    gc.collect()
    assert seen() is None
    assert len(session._jobs) == 0
    assert session.get_job(job_id).wait() is not None


async def _nothing() -> None:
    return None
