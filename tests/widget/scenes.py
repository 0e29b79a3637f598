"""Every state that a widget can show, by name, for `scripts/states.py` to photograph.

Jobs and sheets are in memory, so that a state stands still; widgets, cards, clips, sessions and ledgers are
real. Clips are previews of the local engine, shown as if fal had made them.
"""

import time
import wave
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from widget.memory_job import MemoryJob

from kling_nb import Panel, Session, Storyboard
from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import (
    ContentRefused,
    InputRefused,
    PlatformError,
    ResultGone,
    SubmissionUncertain,
)
from kling_nb.events import (
    Cancelled,
    Downloading,
    Failed,
    Held,
    Logged,
    Queued,
    Ready,
    Running,
    State,
    Submitted,
    Unclear,
    Uploading,
)
from kling_nb.fal.queue import UNCERTAIN_REMEDY
from kling_nb.job.plan import GET_BACK, NO_RECORD
from kling_nb.ledger import Intent, Ledger
from kling_nb.media import MediaFolder
from kling_nb.notebook.card import grid as grid_card
from kling_nb.notebook.card import html as card
from kling_nb.notebook.card.html import Card
from kling_nb.notebook.card.job import card_of, panel_card
from kling_nb.notebook.card.mark import Mark, Part
from kling_nb.notebook.card.words import NOT_CHARGED, NOT_SUBMITTED
from kling_nb.notebook.tables import html as endpoint_table
from kling_nb.notebook.widgets.grid import GridWidget, measures
from kling_nb.notebook.widgets.job import JobWidget
from kling_nb.request.request import VideoRequest

PRICED = "v2.5-turbo-pro"
FOX = "A red fox crosses a snowy forest clearing at dawn, soft golden light"
LENS = f"{FOX}, and looks into the lens"
SHAPES = {
    "16:9": FOX,
    "9:16": "A lighthouse in a storm, waves as high as houses",
    "1:1": "A paper boat on a pond",
}
REQUEST = "764cabcf-b745-4b3e-ae38-1200304cf45b"
STEPS = ("Loading model", "Sampling 12%", "Sampling 25%", "Sampling 37%", "Sampling 50%", "Sampling 62%")


def local(**settings):
    """A session whose jobs are previews, in this folder."""
    return Session(backend="local", home=Path("home").absolute(), **settings)


def priced(**settings):
    """A session that knows fal's prices. Nothing is sent with it."""
    return Session(backend="fal", credentials="0:0", home=Path("fal").absolute(), **settings)


def clip(prompt=FOX, shape="16:9", **values):
    """A preview; made once, found from then on."""
    return local().generate(prompt, endpoint=PRICED, aspect_ratio=shape, **values)


def lines(count):
    """Log lines of a second each."""
    return [
        Logged(STEPS[n % len(STEPS)], f"2026-03-01T09:{n // 60:02}:{n % 60:02}", "INFO") for n in range(count)
    ]


class Maker:
    """In the place of a session: says fal's prices, and has other takes. Nothing is sent."""

    def __init__(self, *takes):
        self.takes = list(takes)
        self.plan = priced().plan

    def takes_of(self, *_):
        return self.takes


class SceneJob(MemoryJob):
    """A job that stands still, `ago` seconds after it was submitted."""

    backend = "fal"

    def __init__(self, *events, prompt=FOX, ago=83, short_name=PRICED, **values):
        super().__init__(prompt)
        self.request = VideoRequest.build(endpoint(short_name), {"prompt": prompt, **values})
        self.created_at = time.time() - ago
        self.maker = Maker()
        self.result, self.files = None, {}
        self._apply(*events)

    @property
    def request_id(self):
        return self.state.request_id

    def _apply(self, *events):
        super()._apply(*events)
        if self.done:
            self.finished_at = self.created_at + 72.4

    def gives(self, result):
        self.video = self.result = replace(result, backend="fal")
        self.file = result.path
        self._apply(Ready("5"))
        return self

    def cancel_soon(self):
        asked = Future()
        asked.set_result("fal was asked to cancel it; it runs already, so it may still finish.")
        return asked


# -- jobs ------------------------------------------------------------------------------

ASKED = Submitted(REQUEST)
REFUSED = InputRefused(
    "fal refused the input: duration: Input should be '5' or '10'.",
    remedy="Change the named parameter and run the cell again.",
    request_id=REQUEST,
    status_code=422,
)
POLICY = ContentRefused(
    "fal refused the input: prompt: The content could not be processed because it contained material flagged "
    "by a content checker.",
    remedy="Not charged: change the prompt or image.",
    request_id=REQUEST,
    status_code=422,
    billable_units="0",
)
BROKEN = PlatformError(
    "fal could not finish the job: the runner failed (internal_server_error).",
    remedy="Run the cell again for a new attempt.",
    request_id=REQUEST,
    status_code=500,
)
GONE = ResultGone(
    "fal no longer has the result of job 3f9c1a2044de (submitted 2026-03-01 09:00).",
    remedy="To make another take, at a new charge: --new (API: new=True).",
    request_id=REQUEST,
    status_code=404,
)
UNANSWERED = SubmissionUncertain(
    "Job 3f9c1a2044de was sent on 2026-03-01 09:00 without an answer: fal may have accepted it.",
    remedy=UNCERTAIN_REMEDY,
)


def running(count=40, expected=130.0):
    """Under way, with a line that warns."""
    warning = Logged("GPU memory is low, tiles are used", "2026-03-01T09:00:41", "WARNING")
    job = SceneJob(ASKED, Running(), *lines(count), warning)
    job.expected_seconds = expected
    return job


def ready(shape="16:9", **values):
    """A finished job."""
    job = SceneJob(ASKED, Running(), *lines(6), prompt=SHAPES[shape], aspect_ratio=shape, **values)
    return job.gives(clip(SHAPES[shape], shape))


def takes():
    """A job with two other takes: a finished one, and one that failed."""
    other = SceneJob(ASKED, Running(), prompt=LENS, cfg_scale=0.8, duration="10").gives(clip(LENS))
    job = ready()
    job.maker = Maker(other, SceneJob(ASKED, Failed(REFUSED), duration="10"))
    return job


def of_a_cell(*, wide=True):
    """A job of a `%%kling kite` cell, which can use each of its takes."""
    job = takes() if wide else ready()
    job.cell = SceneCell()
    job.variable = job.cell.name
    return job


def failed_after_another():
    """A take that failed, while another one is on the stage."""
    job = SceneJob(ASKED, Running(), Failed(BROKEN), duration="10")
    job.maker = Maker(ready())
    return job


class SceneCell:
    """In the place of a `NamedCell`: what is chosen holds until the scene ends."""

    name, fingerprint, scope, chosen = "kite", "", "kling_media", None

    def choose(self, job):
        self.chosen = job
        return f"{self.name} is this take, in all notebooks with {self.scope}."


JOBS = {
    "submitting": lambda: SceneJob(ago=1),
    "uploading": lambda: SceneJob(Uploading(3_400_000, 8_100_000), ago=6),
    "waiting for its turn": lambda: SceneJob(Held(), ago=40),
    "queued": lambda: SceneJob(ASKED, Queued(3), ago=14),
    "running, time unknown": lambda: running(3, None),
    "running": running,
    "downloading": lambda: SceneJob(ASKED, Running(), *lines(6), Downloading(3_400_000, 8_100_000)),
    "ready, wide": ready,
    "ready, tall": lambda: ready("9:16"),
    "ready, square": lambda: ready("1:1"),
    "use this take": lambda: of_a_cell(wide=False),
    "take used": of_a_cell,
    "playing A-B": ready,
    "takes": takes,
    "three takes": takes,
    "parameters": ready,
    "log": running,
    "failed": lambda: SceneJob(ASKED, Running(), *lines(4), Failed(BROKEN), ago=75),
    "failed after another": failed_after_another,
    "failed next to another": failed_after_another,
    "refused": lambda: SceneJob(ASKED, Failed(REFUSED), ago=75),
    "refused by policy": lambda: SceneJob(ASKED, Running(), *lines(4), Failed(POLICY), ago=75),
    "cancelled": lambda: SceneJob(ASKED, Queued(3), Cancelled(), ago=75),
    "uncertain": lambda: SceneJob(Unclear(UNANSWERED), ago=75),
}


def job(name):
    """The widget of a scene."""
    made = JOBS[name]()
    made.id = f"scene-{list(JOBS).index(name)}"
    return JobWidget(made)


# -- grids -----------------------------------------------------------------------------


class Sheet:
    """What a grid shows, in memory: `cells` by their number, other fields as `fields`."""

    def __init__(self, name, cells, **fields):
        self.id, self.count = f"scene-{name}", len(cells)
        self.cells, self.fields = cells, fields
        ready = sum(cell.get("state") == "READY" for cell in cells)
        self.done = not any(cell["state"] in LIVE for cell in cells)
        self.started = fields.pop("started", True)
        self.money = fields.pop("money", "")
        self.summary = fields.pop("summary", f"{ready} of {self.count} ready")

    def describe(self):
        flow = {"rows": [], "columns": [], "row_axis": "", "column_axis": "", "places": None}
        table = {
            "rows": ["calm", "stormy, with waves as high as houses"],
            "columns": [*COLUMNS],
            "row_axis": "prompt",
            "column_axis": "aspect ratio",
            "places": [[row, column] for row in (0, 1) for column in (0, 1, 2)],
        }
        captions = [cell.get("caption", f"cell {at + 1}") for at, cell in enumerate(self.cells)]
        about = {"mode": "together", "local": False, "title": "Kling 2.5 Turbo (pro) Text to Video"}
        return {
            **about,
            "price": "",
            "start_price": "about $2.10",
            "captions": captions,
            **(table if self.count == 6 else flow),
            **self.fields,
        }

    def board(self):
        if self.fields.get("mode") != "sequence":
            return None
        shots = [{"cell": at, "in": None, "out": None} for at in range(self.count)]
        shots[1] |= {"in": 0.5, "out": 3.5}
        return {"shots": shots, "document": "", "film": self.fields["film"]}

    def cell(self, at):
        given = dict(self.cells[at])
        video = given.pop("video", None)
        given.pop("caption", None)
        shape = [*COLUMNS.values()][at % 3] if self.count == 6 else 16 / 9
        known = {"message": "", "reused": False, "queue_position": None, "held": False, "received": 0}
        known |= {"total": None, "shape": shape, "created_at": time.time() - 60, "expected": None}
        known |= {"prompt": FOX, "cost": "", "plan": "about $0.35", "steps": [], "price": "about $0.35"}
        known["job"] = f"job-{at}"
        return {"cell": at, **known, **given, **measures(video)}

    def video(self, at):
        return self.cells[at]["video"]

    def job(self, at):
        if self.fields.get("mode") == "sequence":
            return takes()
        return {"FAILED": JOBS["refused by policy"], "UNCERTAIN": JOBS["uncertain"]}.get(
            self.cells[at]["state"], ready
        )()

    def adopt(self, _job):
        pass

    def cancel(self, _at):
        asked = Future()
        asked.set_result("2 jobs were stopped, 1 runs on: fal may still finish it.")
        return asked

    def subscribe(self, _listener):
        return lambda: None


LIVE = {"WAITING", "SUBMITTING", "IN_QUEUE", "IN_PROGRESS", "DOWNLOADING"}
COLUMNS = {"16:9": 16 / 9, "1:1": 1.0, "9:16": 9 / 16}
"""The columns of a table, and the shape of the videos in each."""
WAITING = {"state": "WAITING", "created_at": None}
REUSED = {"reused": True, "cost": "already made, free (2026-11-03)"}
UNSENT = {"steps": ["start"], "cost": NOT_SUBMITTED, "created_at": None, "job": ""}
LIMIT = (
    "The sweep would cost about $2.10, and max_cost is $1.00. Nothing was sent.\n"
    "Raise max_cost, or take fewer."
)


def made(shape, **fields):
    """A finished cell."""
    return {"state": "READY", "video": clip(SHAPES[shape], shape), "caption": SHAPES[shape], **fields}


def tall(**fields):
    """A cell for a portrait video, which is not made yet."""
    return {"state": "WAITING", "shape": 9 / 16, "caption": SHAPES["9:16"], **fields}


def strip(name, film):
    """A storyboard, and what becomes of its film."""
    shots = [made(shape) for shape in SHAPES]
    about = {"title": "Storyboard", "summary": "3 shots, 13 s"}
    return Sheet(name, shots, mode="sequence", film=film, **about)


GRIDS = {
    "planning": lambda: Sheet(
        "planning",
        [WAITING] * 4 + [made("1:1", **REUSED), {**WAITING, "plan": "the same as another"}],
        started=False,
        price="6 cells · 1 already made, free · 1 the same as another · 4 to make, about $1.40",
        start_price="about $1.40",
        summary="not started",
    ),
    "running": lambda: Sheet(
        "running",
        [
            made("16:9"),
            {"state": "IN_PROGRESS", "expected": 130.0},
            {"state": "IN_QUEUE", "queue_position": 3},
            {"state": "DOWNLOADING", "received": 3_400_000, "total": 8_100_000},
            {"state": "SUBMITTING"},
            WAITING,
        ],
        money="about $1.75 so far, $0.35 to go",
        summary="1 of 6 ready, 5 to come",
    ),
    "partly failed": lambda: Sheet(
        "partly",
        [
            made("16:9", **REUSED),
            made("1:1"),
            {"state": "FAILED", "message": str(POLICY), "steps": ["edit"], "cost": NOT_CHARGED},
            {"state": "FAILED", "message": LIMIT, **UNSENT},
            {
                "state": "CANCELLED",
                "message": "Cancelled. There is no result.",
                "steps": ["retry", "edit"],
                "cost": NOT_CHARGED,
            },
            {
                "state": "SKIPPED",
                "message": "This cell of the sweep was not started. Nothing was sent.",
                **UNSENT,
            },
        ],
        money="about $0.35 in all",
        summary="2 of 6 ready, 4 without a result",
    ),
    "done": lambda: Sheet(
        "done", [made(shape) for shape in (*COLUMNS, *COLUMNS)], money="about $2.10 in all"
    ),
    "opened": lambda: Sheet("opened", [made("16:9", caption="5 s"), made("1:1")]),
    "opened, failed": lambda: Sheet(
        "opened-failed",
        [
            made("16:9", caption="5 s"),
            {
                "state": "FAILED",
                "message": str(POLICY),
                "steps": ["edit"],
                "cost": NOT_CHARGED,
                "caption": "10 s",
            },
        ],
        summary="1 of 2 ready, 1 without a result",
    ),
    "flowing": lambda: Sheet(
        "flowing",
        [
            made("16:9", caption="5 s"),
            made("1:1"),
            made("9:16"),
            {"state": "SUBMITTING", "held": True, "caption": LENS},
        ],
        money="about $1.40 so far",
    ),
    "tall": lambda: Sheet(
        "tall",
        [
            made("9:16"),
            tall(state="IN_PROGRESS", expected=130.0),
            tall(
                state="UNCERTAIN",
                message=str(UNANSWERED),
                cost="cost not known",
                steps=["resume", "edit"],
            ),
            tall(created_at=None),
        ],
        money="about $1.05 so far, $0.35 to go",
        summary="1 of 4 ready, 1 without a result, 2 to come",
    ),
    "storyboard": lambda: strip("joining", {"progress": 0.4}),
    "storyboard, not joining": lambda: strip("strip", {}),
}


def grid(name):
    """The widget of a scene."""
    return GridWidget(GRIDS[name]())


# -- panels ----------------------------------------------------------------------------


def panel(name):
    """A panel; `scripts/states.py` does in it what its user would."""
    if name == "empty":
        return Panel(Session(backend="local", home=Path("empty-home").absolute(), media=Path("empty-media")))
    if name == "composing":
        return Panel(priced(), "v3-pro-image")
    return Panel(local(media=Path("kling_media").absolute()))


def any_widget(name):
    """One of each, while something runs."""
    return {"job": lambda: job("running"), "grid": lambda: grid("running"), "panel": lambda: panel("")}[
        name
    ]()


def fill_ledger(count=1_000):
    """A history with a long ledger and the clips of this folder."""
    ledger = Ledger(Path("home").absolute() / "ledger.sqlite3")
    ends = (
        State.READY,
        State.READY,
        State.READY,
        State.FAILED,
        State.CANCELLED,
        State.READY,
        State.UNCERTAIN,
    )
    for number in range(count):
        prompt = f"{list(SHAPES.values())[number % 3]}, study {number}"
        about = {"endpoint": endpoint(PRICED).id, "input": {"prompt": prompt}, "prompt": prompt}
        row, _ = ledger.claim(
            Intent(
                "fal", **about, fingerprint=f"study {number}", folder=Path("elsewhere").absolute(), new=True
            )
        )
        ledger.update(
            row.id, state=ends[number % 7], error=str(POLICY) if ends[number % 7] is State.FAILED else None
        )
    ledger.close()


# -- cards -----------------------------------------------------------------------------


def running_sweep():
    """A sweep of which each cell stands somewhere else, as the card has it until its end."""
    study = priced().sweep(
        ["a calm sea", "a stormy sea"], endpoint=PRICED, aspect_ratio=[*COLUMNS], start=False
    )
    jobs = (ready(), running(), *(JOBS[name]() for name in ("queued", "downloading", "failed")))
    for cell, job in zip(study, jobs, strict=False):
        cell.job, cell.error, cell._bought = job, job.error, True
        study._notify(cell)
    study._running = Future()
    return study


def taken(count):
    """The card of a cell with several takes, of which the second one is used."""
    made = card_of(of_a_cell())
    takes = [
        replace(
            made.takes[-(at % 2)],
            caption=f"{at + 1}" + (f" · {5 * (1 + at % 2)} s · 9:16" if at else ""),
            rating=(None, 4, 2)[at % 3],
            chosen=at == 1,
            shown=at == 1,
            note="The light is right here, and the fox looks into the lens." if at == 1 else "",
        )
        for at in range(count)
    ]
    return replace(made, takes=takes)


def cards():
    """Every card as HTML, by name."""
    found = {}
    for name in (
        "submitting",
        "waiting for its turn",
        "queued",
        "running",
        "downloading",
        "ready, wide",
        "ready, tall",
        "ready, square",
    ):
        found[name] = card.html(card_of(JOBS[name]()))
    for name in ("refused", "refused by policy", "cancelled", "uncertain"):
        found[name] = card.html(card_of(JOBS[name]()))
    found["failed after another"] = card.html(card_of(failed_after_another()))
    found |= {"takes": card.html(taken(3)), "takes, many": card.html(taken(12))}
    preview = card_of(ready())
    found["preview, reused"] = card.html(
        replace(preview, backend="local", cost="already made, free (2026-11-03)", elapsed=None)
    )
    found["result gone"] = card.html(card_of(SceneJob(ASKED, Failed(GONE), ago=75)))
    lost = card_of(SceneJob(ASKED, Running(), Ready("5"), ago=75))
    gone = f"The file of job 3f9c1a2044de is no longer in kling_media.\n{GET_BACK}"
    found["file missing"] = card.html(replace(lost, error=gone))
    found["file gone, card saved"] = card.note_missing(found["ready, wide"], lambda src: True, GET_BACK)
    found["file gone, no record"] = card.note_missing(found["ready, tall"], lambda src: True, NO_RECORD)
    found["reused"] = card.html(replace(preview, cost="already made, free (2026-11-03)", elapsed=None))
    about = Card(
        "scene", "READY", "Kling TTS", "fal-ai/kling-video/v1/tts", "Good morning, and welcome to the lake."
    )
    Path("pond.png").write_bytes(clip(SHAPES["1:1"], "1:1").poster)
    with wave.open("speech.wav", "wb") as file:
        file.setparams((1, 2, 8_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8_000 * 4))
    found["sound"] = card.html(replace(about, kind="audio", src="speech.wav", take=1, backend="fal"))
    found["picture"] = card.html(replace(about, kind="image", src="pond.png", take=1, backend="fal"))
    found["data"] = card.html(replace(about, kind="data", data='{\n "voice_id": "829826751244537879"\n}'))
    study = local().sweep(["a calm sea", "a stormy sea"], endpoint=PRICED, aspect_ratio=["16:9", "1:1"])
    study.wait()
    found["sweep"] = grid_card.sweep_html(study)
    found["sweep, files gone"] = card.note_missing(found["sweep"], lambda src: "calm" in src, GET_BACK)
    planned = local().sweep(
        ["a calm sea", "a dark sea"], endpoint=PRICED, aspect_ratio=["16:9", "1:1"], start=False
    )
    found["sweep, planned"] = grid_card.sweep_html(planned, players=False)
    found["sweep, running"] = grid_card.sweep_html(running_sweep(), players=False)
    media = MediaFolder(Path("kling_media"))
    found["panel"] = f'<div class="kling-card">{panel_card(media)["text/html"]}</div>'
    found["endpoints"] = (
        f'<div class="kling-card">{endpoint_table([endpoint(PRICED), endpoint("v3-pro-image")])}</div>'
    )
    mixed = Mark("scene-sweep", parts=tuple(Part(f"{at}", 1, "") for at in range(3)))
    found["sweep, drawn again"] = grid_card.html_of_takes(
        mixed,
        [("calm", clip()), ("stormy", None), ("at night, with waves as high as houses", clip(LENS))],
        Path.cwd(),
    )
    found["storyboard"] = grid_card.storyboard_html(
        Storyboard([clip(), clip(LENS), clip(SHAPES["1:1"], "1:1")], [None, (0.5, 3.5), None])
    )
    return found
