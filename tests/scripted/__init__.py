"""A scripted fal: fal's queue, storage and platform API on loopback, which goes wrong on demand.

It is written from fal's documented protocol alone and shares nothing with the client or
with the local preview server, so that it can disagree with them. A test in ten lines:

    from scripted import Done, Hold, Log, Queue, Run, ScriptedFal, Script

    def test_a_cut_stream_is_opened_again() -> None:
        with ScriptedFal() as fal:
            fal.script = Script([Queue(1), Run(), Log("Sampling 10%"), Hold(), Done()])
            fal.fault("stream", "reset", at="mid_body", frame=2)   # the third event is torn
            job = client(fal.url, fal.key).start(prompt="a cat")   # whatever is under test
            fal.wait_for("stream", count=2)                        # it came back
            fal.release()                                          # now the job may end
            assert job.result().video
            assert len(fal.accepted) == 1                          # paid once
            assert not fal.stray_keys                              # and the CDN never saw the key

Jobs do not follow the clock: each look at one moves it a step on, a `Hold` keeps it until
`fal.release()`, `fal.advance()` forces a step (see `script`). A fault is given by exchange,
kind and place (see `faults`). Files come from `fal.media_url`, a second host. All that
arrives is in `fal.requests`; wait with `fal.wait_for`, never by sleeping. With more than one
job, name it: `fal.job(request_id).release()`. `fal.refusing()` is a server that is not there.
"""

from .faults import Fault
from .job import Job, Submission
from .kinds import CUTS, EDITS, KINDS, PLACES, REPLIES, STREAM_EDITS, kinds_for
from .mp4 import sample_mp4
from .records import Record
from .routes import EXCHANGES, FAULT_POINTS
from .script import Done, Fail, Hold, Log, Ping, Queue, Run, Script, Step
from .server import ScriptedFal

__all__ = [
    "CUTS",
    "EDITS",
    "EXCHANGES",
    "FAULT_POINTS",
    "KINDS",
    "PLACES",
    "REPLIES",
    "STREAM_EDITS",
    "Done",
    "Fail",
    "Fault",
    "Hold",
    "Job",
    "Log",
    "Ping",
    "Queue",
    "Record",
    "Run",
    "Script",
    "ScriptedFal",
    "Step",
    "Submission",
    "kinds_for",
    "sample_mp4",
]
