"""What a card says, in plain text: shared by its HTML and its terminal form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from kling_nb.events import State

if TYPE_CHECKING:
    from kling_nb.notebook.card import Card

_VALUE_LENGTH = 120
_LOG_LENGTH = 6_000
_LINE_LENGTH = 300
_ERROR_LENGTH = 1_500

_IN_MEMORY = re.compile("sha256:[0-9a-f]{64}")  # bytes, or a frame of an earlier video
_CLOCK = re.compile(r"\d{4}-\d\d-\d\d[T ](\d\d:\d\d:\d\d)")
# Line breaks and tabs stay. Escape sequences would steer a terminal, and bidi overrides the text after them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# What is said of an end that gave no reason, the job widget says too.
STATES = {
    State.SUBMITTING: ("submitting", "Being sent."),
    State.IN_QUEUE: ("in queue", "Waiting in the queue."),
    State.IN_PROGRESS: ("generating", "Being made."),
    State.DOWNLOADING: ("downloading", "It is made, and its file is being fetched."),
    State.READY: ("ready", ""),
    State.FAILED: ("failed", "The job failed; no reason was given."),
    State.CANCELLED: ("cancelled", "Cancelled before there was a result."),
    State.UNCERTAIN: ("uncertain", "The request was sent and no answer came back: fal may have accepted it."),
}
_RESUME = "The result will be shown here. After a restart of the kernel, %kling resume goes on with it."
_LOOK_UP = "See https://fal.ai/dashboard/requests before you send it again with --new."


def clean(text: str) -> str:
    """`text` without what cannot be stored as UTF-8 or would steer what shows it."""
    return _UNSEEN.sub("", text.encode("utf-8", "replace").decode("utf-8"))


def clip(text: str, length: int) -> str:
    """`text`, cut to `length` characters with an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def state_of(card: Card) -> State | None:
    """The card's state, or None for a word that is not known here."""
    return State(card.state) if card.state in State.__members__ else None


def state_word(card: Card) -> str:
    """The state in a word or two."""
    state = state_of(card)
    return STATES[state][0] if state else clean(card.state).lower()


def state_lines(card: Card) -> list[str]:
    """What there is to say of a job that has no result, or has none yet."""
    state = state_of(card)
    if state is State.READY:
        return []
    said = clip(clean(card.error or ""), _ERROR_LENGTH).splitlines() or [STATES[state][1] if state else ""]
    if state is State.UNCERTAIN and not card.error:
        said.append(_LOOK_UP)
    if state and not state.finished:
        said.append(_RESUME)
    return [line for line in said if line]


def parameters(card: Card) -> list[tuple[str, str]]:
    """Names and values as a person would read them."""
    return [
        (clean(name), clip(clean(_value(value)), _VALUE_LENGTH))
        for name, value in card.parameters.items()
        if not (isinstance(value, str) and value == card.prompt)
    ]


def measures(card: Card) -> str:
    """Size, length and rate of the video."""
    video = card.video
    if video is None:
        return ""
    return f"{video.width}×{video.height} · {video.duration:.4g} s · {video.fps:.4g} fps"


def origin(card: Card) -> list[str]:
    """Which take it is, what it cost, how long it took."""
    found = [f"take {card.take}"] if card.take else []
    if card.reused:
        found.append("reused: no charge")
    elif card.units and card.backend != "local":
        found.append(f"{clip(clean(card.units), 20)} billable units")
    if card.elapsed is not None:
        found.append(f"{'took' if state_of(card) is State.READY else 'after'} {duration(card.elapsed)}")
    return found


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def log(card: Card, room: int) -> str:
    """The last log lines with the time of day: at most 6,000 characters, and `room` bytes once saved."""
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
    """Bytes that a text takes in a saved notebook."""
    return len(json.dumps(text, ensure_ascii=False).encode(errors="replace"))


def _value(value: Any) -> str:
    if isinstance(value, str) and _IN_MEMORY.fullmatch(value):
        return f"from memory, {value[7:15]}…"
    if isinstance(value, str):
        # A picture inside the input would fill the card with base64.
        kind = re.match(r"data:([\w.+/-]*)[;,]", value)
        return f"{kind[1] or 'data'}, {len(value) * 3 // 4:,} bytes" if kind else value
    if isinstance(value, Mapping) and set(value) == {"sha256", "name"}:
        return str(value["name"])
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(value)
