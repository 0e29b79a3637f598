"""The content of a card as plain text, and what a job cost in words.

The HTML form and the terminal form of a card share it, and the live views share the words for the cost.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from kling_nb.catalog import Control, shipped
from kling_nb.catalog.endpoint import units_text
from kling_nb.errors import KlingError, ResponseError
from kling_nb.events import State
from kling_nb.fal.replies import Charge, Reached, charge_of
from kling_nb.job.plan import WORDS, Outcome
from kling_nb.ledger import Entry
from kling_nb.request.request import is_recorded_file
from kling_nb.video import Video

if TYPE_CHECKING:
    from kling_nb.job.job import Job

PREVIEW = "free preview"
NOT_CHARGED = "not charged"
NOT_SUBMITTED = "not submitted, not charged"
UNKNOWN = "cost not known"
RESUMED = "resumed, no extra charge"

_VALUE_LENGTH = 120
_LOG_LENGTH = 6_000
_LINE_LENGTH = 300
_ERROR_LENGTH = 1_500

_IN_MEMORY = re.compile("sha256:[0-9a-f]{64}")  # bytes, or a frame of an earlier video
_CLOCK = re.compile(r"\d{4}-\d\d-\d\d[T ](\d\d:\d\d:\d\d)")
# Line breaks and tabs stay. Escape sequences control a terminal; bidi overrides reorder the text after them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

STATES = {
    State.SUBMITTING: ("submitting", "Sending the request."),
    State.IN_QUEUE: ("in queue", "Waiting in the queue."),
    State.IN_PROGRESS: ("generating", "Generating the video."),
    State.DOWNLOADING: ("downloading", "The result is being downloaded."),
    State.READY: ("ready", ""),
    State.FAILED: ("failed", "The job failed. No reason was given."),
    State.CANCELLED: ("cancelled", "Cancelled. There is no result."),
    State.UNCERTAIN: ("uncertain", "The request was sent, but no answer came: fal may have accepted it."),
}
"""The words for each state, and a sentence for a job that has no message. `words.js` has the same words."""
HELD = ("waiting", "Waiting: the account runs its maximum of requests.")
"""The same for a job that fal does not accept yet."""
NOT_STARTED = "not started"
"""Of a cell of a sweep or batch that has no job."""
FILE_MISSING = "file missing"
"""Of a finished job whose file is not where it was stored."""
CODE_WORDS = r"(?:%%?kling|kling-nb)(?: [a-z]+)?|(?<![^\s(])(?=\S{3,40}(?!\S))\S*-\S*"
"""Words of a message that do not break: commands, and flags and ids, which have hyphens. As in `dom.js`."""
_RESUME = "After a restart of the kernel, %kling resume gets it back."
_LOOK_UP = "Look at https://fal.ai/dashboard/requests before you send it again with --new."


@dataclass(frozen=True, slots=True)
class CardTake:
    """A take in the strip of a card.

    Attributes:
        caption: Its number in the strip, and how it differs from the first one.
        state: The state of its job.
        name: Name of its file; empty if it has none.
        src: Source of its file for a page, or None.
        video: The result, if it is a video.
        rating: 1 to 5 stars, or None.
        note: The user's note, or an empty text.
        chosen: True if it was chosen for the cell.
        shown: True for the take that the card plays.
        held: True if fal does not accept its job yet.
    """

    caption: str
    state: State
    name: str = ""
    src: str | None = None
    video: Video | None = None
    rating: int | None = None
    note: str = ""
    chosen: bool = False
    shown: bool = False
    held: bool = False


def decided(takes: Sequence[CardTake]) -> str | None:
    """Return a short text that is another one once takes or decisions are others, or None without any.

    A card without it has one take, about which nothing was decided.
    """
    known = [(one.name, one.rating, one.note, one.chosen, one.shown) for one in takes if one.name]
    if len(known) < 2 and not any(rating or note or chosen for _, rating, note, chosen, _ in known):
        return None
    return hashlib.sha256(repr(known).encode("utf-8", "replace")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Card:
    """The content of a card.

    Attributes:
        job_id: kling_nb's id of the job, for `%kling show`.
        state: Name of a `State`.
        title: Title of the endpoint.
        endpoint: fal's id of the endpoint.
        prompt: The prompt as given.
        parameters: The other parameters.
        request_id: fal's request id, once known.
        backend: "fal" or "local".
        take: Number of the take, once there is one.
        cost: What it cost, in words; empty if that is not shown.
        elapsed: Seconds from submission to the end.
        error: Message and remedy of the error, at most four lines; of a READY job: that its file is missing.
        lines: The log: (timestamp or None, message).
        video: The result.
        src: Source of the file for a page: a path relative to the notebook, or an http(s) URL.
        kind: "video", "audio", "image" or "data".
        data: The result as JSON, if it is no file.
        others: Source of each further file of the result, by name.
        shape: Width by height of the video that the request asks for, or 0.0.
        takes: The takes of its cell in their order, this one included.
        variable: NAME of its cell, for which a take can be chosen; else empty.
        held: True if fal does not accept the job yet.
    """

    job_id: str
    state: str
    title: str
    endpoint: str
    prompt: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    backend: str | None = None
    take: int | None = None
    cost: str = ""
    elapsed: float | None = None
    error: str | None = None
    lines: Sequence[tuple[str | None, str]] = ()
    video: Video | None = None
    src: str | None = None
    kind: str = "video"
    data: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    shape: float = 0.0
    takes: Sequence[CardTake] = ()
    variable: str = ""
    held: bool = False

    @property
    def shown(self) -> CardTake | None:
        """The take that it plays, with what the user decided about it."""
        return next((take for take in self.takes if take.shown), None)


def clean(text: str) -> str:
    """Return `text` without characters that UTF-8 cannot store or that control a terminal or a page."""
    return _UNSEEN.sub("", text.encode("utf-8", "replace").decode("utf-8"))


def clip(text: str, length: int) -> str:
    """Return `text`, cut to `length` characters with an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def error_text(error: Exception) -> str:
    """Return an error as text for the user."""
    return clip(str(error) if isinstance(error, KlingError) else f"{type(error).__name__}: {error}", 2_000)


def state_of(card: Card) -> State | None:
    """Return the card's state, or None if its name is not known."""
    return State(card.state) if card.state in State.__members__ else None


def is_file_missing(card: Card) -> bool:
    """Return True if the job gave a result, and its file is not where it was stored."""
    return state_of(card) is State.READY and bool(card.error)


def state_word(card: Card) -> str:
    """Return the state in a word or two."""
    if is_file_missing(card):
        return FILE_MISSING
    state = state_of(card)
    return _about(state, held=card.held)[0] if state else clean(card.state).lower()


def _about(state: State, *, held: bool) -> tuple[str, str]:
    """Return the words for a state, as in `STATES`."""
    return HELD if held and not state.finished else STATES[state]


def cell_state(state: str, *, held: bool = False) -> str:
    """Return the state of a sweep's cell in a word or two. `held`: fal does not accept its job yet."""
    return _about(State(state), held=held)[0] if state in State.__members__ else NOT_STARTED


def state_lines(card: Card) -> list[str]:
    """Return the lines about a job that has no result, or none yet."""
    state = state_of(card)
    if state is State.READY and not card.error:
        return []
    usual = _about(state, held=card.held)[1] if state else ""
    lines = clip(clean(card.error or ""), _ERROR_LENGTH).splitlines() or [usual]
    if state is State.UNCERTAIN and not card.error:
        lines.append(_LOOK_UP)
    if state and not state.finished:
        lines.append(_RESUME)
    return [line for line in lines if line]


def parameters(card: Card) -> list[tuple[str, str]]:
    """Return labels and values of the parameters as text, in the endpoint's order and without the prompt."""
    endpoint = shipped.find(card.endpoint)
    known = {one.name: one for one in endpoint.parameters} if endpoint else {}
    shown = []
    given = [name for name in known if name in card.parameters]
    for name in dict.fromkeys([*given, *card.parameters]):
        value = card.parameters[name]
        if isinstance(value, str) and value == card.prompt:
            continue
        label, unit = (known[name].label, known[name].unit) if name in known else (name, "")
        shown.append((clean(label), clip(clean(f"{_value(value)} {unit}".rstrip()), _VALUE_LENGTH)))
    return shown


def measures(card: Card) -> str:
    """Return size and duration of the video as text, as `dimensions` of `words.js`."""
    video = card.video
    if video is None:
        return ""
    return f"{video.width} × {video.height} · {round(video.duration, 1):g} s"


def shot_name(number: int, prompt: str) -> str:
    """Return the name of a shot in a film, as in the live view, `number` of `js/grid/tile.js`."""
    return f"{number} · {prompt}"


def shot_points(trim: tuple[float, float | None] | None, duration: float) -> str:
    """Return the length of a shot, or what of it is in the film, as `shot_name`."""
    start, end = trim or (None, None)
    end_text = f"{round(duration if end is None else end, 2):g} s"
    return end_text if trim is None else f"{round(start or 0.0, 2):g}–{end_text}"


def origin(card: Card) -> list[str]:
    """Return the number of the take, what was decided about it, how long it took, and its cost, as texts."""
    facts = [f"take {card.take}"] if card.take else []
    if (shown := card.shown) is not None:
        facts += [f"used as {card.variable}"] if shown.chosen and card.variable else []
        facts += [stars(shown.rating)] if shown.rating else []
    return facts + charge(card)


def stars(rating: int | None) -> str:
    """Return a rating as text, as `starsOf` of `rating.js`."""
    return f"★ {rating}" if rating else ""


Made = tuple[str, Mapping[str, Any], str]
"""What made a take: the id of its endpoint, its input, its backend."""


def captions(controls: Sequence[Control], takes: Sequence[Made]) -> list[str]:
    """Return the caption of each take: its number, and how it differs from the first one, the shortest first.

    The live view has the same ones, `captionOf` of `takes.js`. `controls` are the endpoint's parameters.
    """
    shown = []
    for number, (endpoint, given, backend) in enumerate(takes, 1):
        first_endpoint, first, _ = takes[0]
        pairs = [(one, _setting(one, first), _setting(one, given)) for one in controls]
        parts = sorted((_difference(*pair) for pair in pairs if pair[1] != pair[2]), key=len)
        if endpoint != first_endpoint:
            others = first_endpoint.split("/")
            model = " ".join(part for part in endpoint.split("/") if part not in others)
            parts.insert(0, model or endpoint)
        if backend == "local" and any(other == "fal" for _, _, other in takes):
            parts.append("preview")
        shown.append(clip(clean(" · ".join(filter(None, (str(number), *parts)))), _VALUE_LENGTH))
    return shown


def _difference(control: Control, before: Any, now: Any) -> str:
    """Return how a value differs from that of the first take, as `shortly` of `takes.js`."""
    if control.kind == "text":
        return other_words(str(before or ""), str(now or ""))
    if control.kind in {"json", "media"}:
        return control.label
    text = "not set" if now in (None, "") else f"{_value(now)} {control.unit}".rstrip()
    return text if control.unit or control.kind == "choice" else f"{control.label} {text}"


def other_words(before: str, now: str) -> str:
    """Return the words of a text that another one does not have, as `otherWords` of `other_words.js`."""
    old, words = before.split(), now.split()
    start = end = 0
    least = min(len(old), len(words))
    while start < least and old[start] == words[start]:
        start += 1
    while end < least - start and old[-1 - end] == words[-1 - end]:
        end += 1
    if start and start + end >= len(words) - 1:
        start -= 1  # a single word says more with the one before it
    kept = re.sub(r"[,.;]$", "", " ".join(words[start : len(words) - end]))
    return f"{'…' * bool(start)}{kept}{'…' * bool(end)}"


def _setting(control: Control, given: Mapping[str, Any]) -> Any:
    """Return the value that counts: the one given, else the default, else None."""
    value = given.get(control.name)
    return control.default if value is None else value


def charge(card: Card) -> list[str]:
    """Return how long it took, and its cost, as texts: in the order and the words of the live view."""
    facts = []
    if card.elapsed is not None:
        facts.append(f"{'took' if state_of(card) is State.READY else 'after'} {duration(card.elapsed)}")
    return facts + ([clean(card.cost)] if card.cost else [])


def duration(seconds: float) -> str:
    """Return seconds as 0:07, 12:30 or 1:02:03, as `clock` of `words.js`."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def log(card: Card, room: int) -> str:
    """Return the last log lines with the time of day: at most 6,000 characters and `room` saved bytes."""
    shown: list[str] = []
    length = size = 0
    for timestamp, message in reversed(card.lines):
        clock = _CLOCK.match(timestamp or "")
        line = clip(clean(f"{clock[1]}  {message}" if clock else message).rstrip(), _LINE_LENGTH)
        length += len(line) + 1
        size += saved_size(escape(line)) + len("&#10;")
        if length > _LOG_LENGTH or size > room:
            shown.append(f"… {len(card.lines) - len(shown)} earlier lines: %kling show {card.job_id}")
            break
        shown.append(line)
    return "\n".join(reversed(shown))


def saved_size(text: str) -> int:
    """Return the number of bytes that a text takes in a saved notebook."""
    return len(_to_json(text).encode(errors="replace"))


_to_json = json.JSONEncoder(ensure_ascii=False).encode
"""As `json.dumps`, which makes an encoder for each of the log lines."""


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str) and _IN_MEMORY.fullmatch(value):
        return f"from memory, {value[7:15]}…"
    if isinstance(value, str):
        # An image inside the input would fill the card with base64.
        kind = re.match(r"data:([\w.+/-]*)[;,]", value)
        return f"{kind[1] or 'data'}, {len(value) * 3 // 4:,} bytes" if kind else value
    if is_recorded_file(value):
        return str(value["name"])
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(value)


def cost(job: Job) -> str:
    """Return what the job cost, as far as it is known; empty while the job runs."""
    now, error = job.state, job.state.error
    if job.reused and now.state.finished:
        return WORDS[job.outcome or Outcome.REUSE].brief + (f" ({job.made_on})" if job.made_on else "")
    units = now.units or (error.billable_units if isinstance(error, ResponseError) else None)
    words = _words(
        now.state,
        job.backend,
        job.request.units_text(units) if units else "",
        reached=_reached(now.state, now.request_id, answered=isinstance(error, ResponseError)),
        units=units,
        error_type=getattr(error, "error_type", None),
        unpaid=now.unpaid,
    )
    return f"{words} · {RESUMED}" if words and now.resumed else words


def cost_of_entry(entry: Entry, state: State) -> str:
    """Return what a job cost, by its row in the ledger. `state` is shown: failed, if its file is gone."""
    closed = entry.state in {State.FAILED, State.CANCELLED}
    return _words(
        state,
        entry.backend,
        billed_units(entry.endpoint, entry.input, entry.units),
        reached=_reached(entry.state, entry.request_id, answered=entry.sent_at is not None),
        units=entry.units,
        error_type=entry.error_type if closed else None,
        unpaid=closed and entry.reserved_usd == 0.0,
    )


def cost_of_take(endpoint_id: str, resolved: Mapping[str, Any], backend: str, units: str | None) -> str:
    """Return what a take cost, by its sidecar."""
    billed = billed_units(endpoint_id, resolved, units)
    return _words(State.READY, backend, billed, reached=Reached.ACCEPTED, units=units)


def billed_units(endpoint_id: str, resolved: Mapping[str, Any], units: str | None) -> str:
    """Return billed units as text, with price and total if they are known; empty without units."""
    endpoint = shipped.find(endpoint_id)
    if not units:
        return ""
    return units_text(endpoint, resolved, units) if endpoint is not None else f"{units[:20]} billable units"


def _reached(state: State, request_id: str | None, *, answered: bool) -> Reached:
    """Return how far a request came. `answered`: fal has answered its submission, if without an id."""
    if request_id is not None or state is State.READY:
        return Reached.ACCEPTED
    if state is State.UNCERTAIN:
        return Reached.UNCLEAR
    return Reached.REFUSED if answered else Reached.NOWHERE


def _words(
    state: State,
    backend: str,
    billed: str,
    *,
    reached: Reached,
    units: str | None,
    error_type: str | None = None,
    unpaid: bool = False,
) -> str:
    """Return the cost of a job that reused nothing; empty while it runs.

    `billed` are the units in words, `units` as fal sent them. `unpaid`: it is known to be free.
    """
    if not state.finished:
        return ""
    if backend == "local":
        return PREVIEW
    if reached is Reached.NOWHERE:
        return NOT_SUBMITTED
    charge = charge_of(reached, units, error_type, unpaid=unpaid)
    return {Charge.NONE: NOT_CHARGED, Charge.UNITS: billed, Charge.UNKNOWN: UNKNOWN}[charge]
