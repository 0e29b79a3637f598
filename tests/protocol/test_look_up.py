"""A submission that was never answered is looked for in fal's list; only what must be it is taken for it."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted import Done, Hold, Queue, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import State
from kling_nb.job.job import Job
from kling_nb.job.submit import LIST_LAG
from kling_nb.ledger import Ledger
from kling_nb.session import Session

MakeSession = Callable[..., Session]
TEXT = "fal-ai/kling-video/v1/pro/text-to-video"


def unclear(session: Session, fal: ScriptedFal, prompt: str = "a cat", **more: Any) -> str:
    """Submit, and hear no answer; gives the job's id."""
    fal.fault("submit", "reset")
    job = session.submit(prompt, **more)
    with pytest.raises(errors.SubmissionUncertain) as caught:
        job.wait()
    assert len(str(caught.value).splitlines()) <= 4
    return job.id


def elsewhere(fal: ScriptedFal, **values: Any) -> None:
    """A request that another program of the same account sends."""
    headers = {"Authorization": f"Key {fal.key}"}
    url = f"{fal.url}/{TEXT}"
    httpx.post(url, json=values, headers=headers, trust_env=False, verify=False).raise_for_status()


def shown(job: Job) -> str:
    with pytest.raises(errors.SubmissionUncertain) as caught:
        job.wait()
    assert len(str(caught.value).splitlines()) <= 4
    return str(caught.value)


def test_the_cell_again_takes_it_up(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    fal.script = Script([Queue(1), Run(), Hold(), Done()])
    job_id = unclear(session, fal, duration=10)
    elsewhere(fal, prompt="a cat", duration="5")
    elsewhere(fal, prompt="a dog", duration="10")
    job = session.submit("a cat", duration=10)
    fal.wait_for("stream")
    fal.release(fal.jobs[0].request_id)
    assert job.wait() is not None
    assert (job.id, job.request_id) == (job_id, fal.jobs[0].request_id)
    assert job.state.resumed
    assert fal.count("submit") == 3
    (entry,) = ledger.entries()
    assert (entry.state, entry.request_id, entry.error) == (State.READY, job.request_id, None)
    asked = next(record for record in fal.requests if record.exchange == "lookup")
    assert asked.query["endpoint_id"] == TEXT
    assert asked.query["expand"] == "payloads"
    assert not fal.stray_keys


def test_resume_takes_it_up(make_session: MakeSession, fal: ScriptedFal) -> None:
    job_id = unclear(make_session(), fal)
    (job,) = make_session().resume()
    assert job.wait() is not None
    assert job.id == job_id
    assert len(fal.accepted) == 1
    assert make_session().submit("a cat").reused


def test_one_that_another_row_has_is_not_it(session: Session, fal: ScriptedFal) -> None:
    """The same request was sent again with --new, and fal answered that one."""
    fal.fault("submit", "reset", at="before_body")
    job = session.submit("a cat")
    with pytest.raises(errors.SubmissionUncertain):
        job.wait()
    assert session.generate("a cat", new=True) is not None
    assert "lists no such request" in shown(session.get_job(job.id))
    assert len(fal.accepted) == 1


def test_of_two_that_it_can_be_none_is_taken(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    unclear(session, fal)
    elsewhere(fal, prompt="a cat")
    words = shown(session.submit("a cat"))
    assert "2 requests" in words
    assert all(job.request_id in words for job in fal.jobs)
    assert ledger.entries()[0].state is State.UNCERTAIN
    taken = session.get_job(fal.jobs[0].request_id, endpoint="v1-pro")
    assert taken.wait() is not None
    # The other one is now the only one that it can be.
    assert session.submit("a cat").wait() is not None
    assert len(fal.accepted) == 2


def test_a_job_that_was_opened_by_its_id_is_named(session: Session, fal: ScriptedFal) -> None:
    """A user who reads that fal lists none would buy it again."""
    unclear(session, fal)
    request_id = fal.jobs[0].request_id
    assert session.get_job(request_id, endpoint="v1-pro").wait() is not None
    words = shown(session.submit("a cat"))
    assert request_id in words
    assert "most likely fal did not accept it" not in words


def test_two_that_were_not_answered_do_not_share_one(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session()
    first = unclear(session, fal)
    second = unclear(session, fal, new=True)
    fal.queue.jobs.popitem()  # fal had not taken the second one
    kernels = [make_session(), make_session()]
    jobs = [kernels[0].get_job(first), kernels[1].get_job(second)]
    ends = [job.wait_async() for job in jobs]
    found = [session._background.spawn(_outcome(end)).result() for end in ends]
    assert sorted(found) == ["SubmissionUncertain", "Video"]


async def _outcome(end: Any) -> str:
    try:
        return type(await end).__name__
    except errors.KlingError as fault:
        return type(fault).__name__


def test_soon_after_it_was_sent_the_list_may_be_late(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    """A user who sends it again a second later would pay twice."""
    job_id = unclear(make_session(), fal)
    fal.fault("lookup", "no_items", times=2)
    assert "yet" in shown(make_session().get_job(job_id))
    entry = ledger.get(job_id)
    assert entry is not None
    assert entry.sent_at is not None
    ledger.update(job_id, sent_at=entry.sent_at - LIST_LAG + 60)
    fal.fault("lookup", "no_items", times=2)
    assert "yet" in shown(make_session().get_job(job_id))
    ledger.update(job_id, sent_at=entry.sent_at - LIST_LAG)
    assert "most likely fal did not accept it" in shown(make_session().get_job(job_id))


@pytest.mark.parametrize("minutes", [-60, 60])
def test_one_of_another_time_is_not_it(session: Session, fal: ScriptedFal, minutes: int) -> None:
    unclear(session, fal)
    job = fal.job()
    job.submission = replace(job.submission, at=job.submission.at + timedelta(minutes=minutes))
    assert "lists no such request" in shown(session.submit("a cat"))


@pytest.mark.parametrize("hours", [-7, 7])
def test_a_clock_that_is_wrong_hides_nothing(session: Session, fal: ScriptedFal, hours: int) -> None:
    """As after a virtual machine has slept. A user who reads that fal lists none would buy it again."""
    real = time.time

    def dated(reply: Any) -> Any:
        return replace(reply, headers=(*reply.headers, ("date", formatdate(real(), usegmt=True))))

    fal.fault("lookup", "edit", edit=dated, times=None)
    time.time = lambda: real() + hours * 3600.0
    try:
        job_id = unclear(session, fal)
        job = session.submit("a cat")
        assert job.wait() is not None
    finally:
        time.time = real
    assert (job.id, job.request_id) == (job_id, fal.jobs[0].request_id)
    assert len(fal.accepted) == 1


def test_defaults_that_fal_fills_in_do_not_matter(session: Session, fal: ScriptedFal) -> None:
    unclear(session, fal)
    job = fal.job()
    filled = {**job.input, "duration": "5", "aspect_ratio": "16:9", "seed": None}
    job.submission = replace(job.submission, input=filled)
    assert session.submit("a cat").wait() is not None


@pytest.mark.parametrize("change", [{"duration": "10"}, {"prompt": "a cat "}, {"aspect_ratio": "1:1"}])
def test_any_other_value_does(session: Session, fal: ScriptedFal, change: dict[str, Any]) -> None:
    unclear(session, fal)
    job = fal.job()
    job.submission = replace(job.submission, input={**job.input, **change})
    assert "lists no such request" in shown(session.submit("a cat"))


def test_an_image_tells_by_the_url_it_was_sent_under(
    session: Session, fal: ScriptedFal, picture: Path, make_picture: Callable[..., Path]
) -> None:
    other = make_picture("dog.jpg", "navy")
    job_id = unclear(session, fal, image=picture)
    unclear(session, fal, image=other)
    job = session.submit("a cat", image=picture)
    assert job.wait() is not None
    assert (job.id, job.request_id) == (job_id, fal.jobs[0].request_id)


def test_an_image_that_went_along_tells_by_its_bytes(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, picture: Path
) -> None:
    session = make_session(inline_limit=10**6)
    unclear(session, fal, image=picture)
    assert ledger.entries()[0].addresses is None
    assert session.submit("a cat", image=picture).wait() is not None
    assert len(fal.accepted) == 1


def test_without_inputs_no_request_can_be_recognised(
    session: Session, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.platform.keeps_payloads = False
    unclear(session, fal)
    assert "without inputs" in shown(session.submit("a cat"))
    assert ledger.entries()[0].state is State.UNCERTAIN


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("status", {"status": 401, "body": {"error": {"type": "authorization_error", "message": "no"}}}),
        ("status", {"status": 500}),
        ("busy", {"retry_after": 1}),
        ("reset", {}),
        ("not_an_object", {}),
        ("wrong_types", {}),
        ("truncated_json", {}),
    ],
    ids=str,
)
def test_a_list_that_cannot_be_fetched(
    session: Session, fal: ScriptedFal, ledger: Ledger, kind: str, options: dict[str, Any]
) -> None:
    unclear(session, fal)
    fal.fault("lookup", kind, times=None, **options)
    shown(session.submit("a cat"))
    assert ledger.entries()[0].state is State.UNCERTAIN
    fal.clear_faults()
    assert session.submit("a cat").wait() is not None
    assert fal.count("submit") == 1


OTHER_KEY = "another-key:0123456789"


def test_with_another_key_an_empty_list_proves_nothing(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    """Another account's list does not hold it, and that must not lead to a second payment."""
    job_id = unclear(make_session(), fal)
    ledger.update(job_id, sent_at=time.time() - 2 * LIST_LAG)
    first, fal.key = fal.key, OTHER_KEY
    fal.fault("lookup", "no_items", times=2)
    assert "another key" in shown(make_session(credentials=OTHER_KEY).submit("a cat"))
    assert fal.count("lookup") >= 1
    fal.clear_faults()
    fal.fault("lookup", "status", status=403, body={"detail": "No"})
    assert "another key" in shown(make_session(credentials=OTHER_KEY).submit("a cat"))
    fal.key = first
    ledger.update(job_id, sent_at=time.time())
    assert make_session().submit("a cat").wait() is not None
    assert len(fal.accepted) == 1


def test_with_a_new_key_of_the_same_account_it_is_found(make_session: MakeSession, fal: ScriptedFal) -> None:
    job_id = unclear(make_session(), fal)
    fal.key = OTHER_KEY
    job = make_session(credentials=OTHER_KEY).submit("a cat")
    assert job.wait() is not None
    assert (job.id, job.request_id) == (job_id, fal.jobs[0].request_id)
    assert len(fal.accepted) == 1


@pytest.mark.parametrize("by_end", [False, True], ids=["by submission", "by end"])
@pytest.mark.parametrize("unfinished", [False, True], ids=["finished only", "all"])
def test_it_is_found_whatever_the_times_of_the_list_mean(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, by_end: bool, unfinished: bool
) -> None:
    """fal does not document it. A job may end hours after it was sent."""
    fal.platform.by_end, fal.platform.lists_unfinished = by_end, unfinished
    fal.script = Script([Queue(1), Run(), Hold(), Done()])
    job_id = unclear(make_session(), fal)
    elsewhere(fal, prompt="a cat")
    for job, hours in zip(fal.jobs, (3, 1), strict=True):
        job.submission = replace(job.submission, at=job.submission.at - timedelta(hours=hours))
    ledger.update(job_id, sent_at=time.time() - 3 * 3600)
    if not unfinished:  # fal lists it once it has ended, long after it was sent
        ledger.update(job_id, sent_at=time.time() - LIST_LAG + 60)
        assert "yet" in shown(make_session().get_job(job_id))
        ledger.update(job_id, sent_at=time.time() - 3 * 3600)
    for job in fal.jobs:
        job.finish()
    found = make_session().submit("a cat")
    assert found.wait() is not None
    assert (found.id, found.request_id) == (job_id, fal.jobs[0].request_id)
    assert len(fal.accepted) == 2


def test_what_the_schema_does_not_know_does_not_matter(session: Session, fal: ScriptedFal) -> None:
    unclear(session, fal)
    job = fal.job()
    stored = {**job.input, "enable_safety_checker": True, "internal": {"pool": 7}}
    job.submission = replace(job.submission, input=stored)
    assert session.submit("a cat").wait() is not None
    assert len(fal.accepted) == 1


def test_nor_does_it_inside_of_a_list(session: Session, fal: ScriptedFal) -> None:
    shots = [{"prompt": "a cat", "duration": "5"}, {"prompt": "a dog", "duration": "5"}]
    values = {"endpoint": "v3-pro", "multi_prompt": shots, "shot_type": "customize", "duration": 10}
    fal.fault("submit", "reset")
    with pytest.raises(errors.SubmissionUncertain):
        session.submit(**values).wait()
    job = fal.job()
    stored = [{**shot, "index": number} for number, shot in enumerate(shots)]
    job.submission = replace(job.submission, input={**job.input, "multi_prompt": stored})
    assert session.submit(**values).wait() is not None
    assert len(fal.accepted) == 1


def test_requests_that_nearly_match_are_named(session: Session, fal: ScriptedFal) -> None:
    fal.fault("submit", "reset", at="before_body")
    with pytest.raises(errors.SubmissionUncertain):
        session.generate("a cat")
    elsewhere(fal, prompt="a cat", duration="10")
    elsewhere(fal, prompt="a dog", duration="10", aspect_ratio="1:1")
    assert session.generate("a cat", seed=None, aspect_ratio="9:16") is not None  # a row of its own
    words = shown(session.submit("a cat"))
    assert f"(nearly the same: {fal.jobs[0].request_id} (another duration))." in words
    assert not any(job.request_id in words for job in fal.jobs[1:])


def test_all_pages_are_read(session: Session, fal: ScriptedFal) -> None:
    unclear(session, fal)
    for number in range(120):
        elsewhere(fal, prompt=f"a dog {number}")
    assert session.submit("a cat").wait() is not None
    assert fal.count("lookup") == 2


def test_while_another_kernel_sends_the_same_nothing_is_taken(
    make_session: MakeSession, fal: ScriptedFal, run: Any
) -> None:
    """The request that fal lists may be that of the other row, which has no request id yet."""
    session = make_session()
    fal.fault("submit", "reset", at="before_body")
    job = session.submit("a cat")
    with pytest.raises(errors.SubmissionUncertain):
        job.wait()
    stall = fal.fault("submit", "stall")
    program = run("import kling_nb; print(kling_nb.generate('a cat', new=True).path.name, flush=True)")
    fal.wait_for("submit", 2)
    assert "another kernel" in shown(session.get_job(job.id))
    stall.release()
    assert program.says()
    assert "lists no such request" in shown(session.get_job(job.id))
