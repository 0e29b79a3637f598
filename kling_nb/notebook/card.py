"""The static card: what a notebook shows of a job without a kernel, and what GitHub shows of it.

One HTML fragment with inline styles. What it is built around:

- JupyterLab's sanitiser (notebooks that are not trusted) keeps `<video src>`, `<details>`,
  `<pre>`, classes and most CSS properties; it drops `<style>`, `data-` attributes, `<source src>`.
  It cleans what a page shows and not the file, in which `mark.py` reads those attributes.
- Colours are the page's own, with shades of grey that can be seen on light and dark.
- MathJax must not read a prompt's dollar signs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

from kling_nb.events import State
from kling_nb.notebook import card_words as words
from kling_nb.notebook.card_player import WIDEST, player
from kling_nb.notebook.card_source import address, file_name
from kling_nb.notebook.mark import Mark
from kling_nb.video import Video

LARGEST = 30_000
"""Bytes that a finished result adds to a saved notebook."""
_ROUND_ABOUT = 3_000
"""Of these, for what is not text of the card: its frame, the plain text and the mark."""
_LENGTHS = (None, 1_000, 250)
"""Characters to which long texts are cut, tried in this order."""

_RIM = "1px solid rgba(128,128,128,0.35)"
_CARD = (
    f"max-width:{WIDEST}px;margin:4px 0;border:{_RIM};border-radius:6px;overflow:hidden;"
    "font-size:13px;line-height:1.5"
)
_QUIET = "opacity:0.7"
_WRAP = "white-space:pre-wrap;overflow-wrap:break-word"
_TINTS = {
    "amber": "220,150,20",
    "blue": "70,130,230",
    "grey": "128,128,128",
    "red": "220,70,70",
    "green": "60,160,90",
}
_STATE_TINTS = {
    State.FAILED: "red",
    State.UNCERTAIN: "amber",
    State.CANCELLED: "grey",
}


@dataclass(frozen=True, slots=True)
class Card:
    """What a card shows.

    Attributes:
        job_id: Ours; `%kling show` takes it.
        state: A `State` by its name.
        title: Of the endpoint.
        endpoint: fal's id of it.
        prompt: As given.
        parameters: The other parameters.
        request_id: fal's id of the request, once known.
        backend: "fal" or "local".
        take: Number of the take, once there is one.
        reused: Whether an earlier take was shown, so that nothing was sent or paid.
        units: Billable units, as fal sent them.
        elapsed: Seconds from submission to the end.
        error: Message and remedy of what went wrong, at most four lines.
        lines: The log: (timestamp or None, message).
        video: The result.
        src: Where a page finds the file: a path relative to the notebook, or an http(s) URL.
        kind: "video", "audio", "image" or "data".
        data: What the endpoint gave, as JSON, where that is no file.
        others: Further files of the result: where a page finds each, by name.
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
    reused: bool = False
    units: str | None = None
    elapsed: float | None = None
    error: str | None = None
    lines: Sequence[tuple[str | None, str]] = ()
    video: Video | None = None
    src: str | None = None
    kind: str = "video"
    data: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)


def html(card: Card) -> str:
    """The card as one HTML fragment, about 25 kB with its poster.

    With the text beside it, it adds at most `LARGEST` bytes to a saved notebook: the log gets what is left,
    and where long texts leave nothing, they are cut. `%kling show` and the sidecar have all of it.
    """
    seen = player(card)
    for length in _LENGTHS:
        shorter = _cut(card, length)
        facts = "".join(part(shorter) for part in (_heading, _prompt, _parameters, _data, _state, _origin))
        room = LARGEST - _ROUND_ABOUT - words.saved_size(seen + facts)
        if room > 0:
            break
    changing = Mark(state=card.state, request=card.request_id).to_attributes()
    return (
        f'<div class="kling-card mathjax_ignore tex2jax_ignore" data-kling-card="{_text(card.job_id)}"'
        f'{changing} style="{_CARD}">{seen}'
        f'<div style="padding:10px 14px">{facts}{_log(card, room)}</div></div>'
    )


def _cut(card: Card, length: int | None) -> Card:
    """The same with no text longer than that."""
    if length is None:
        return card
    data = words.clip(card.data, length) if card.data else card.data
    return replace(card, prompt=words.clip(card.prompt, length), data=data)


def text(card: Card) -> str:
    """The card in three to six lines, for terminals and for pages that show no HTML."""
    marks = [" ".join(words.clean(card.title).split()), words.state_word(card), *words.origin(card)]
    if card.backend == "local":
        marks.append("LOCAL PREVIEW, made on this machine, free")
    prompt = "" if card.prompt == card.title else " ".join(words.clean(card.prompt).split())
    lines = [" · ".join(marks), "  " + words.clip(prompt, 200)]
    said = words.state_lines(card)
    if said:
        # Four lines at most are left; what is longer goes on in the third.
        lines += [f"  {line}" for line in (*said[:2], " ".join(said[2:])) if line]
    else:
        lines.append("  " + words.clip(" · ".join(" ".join(pair) for pair in words.parameters(card)), 400))
        lines.append("  " + words.clip(" ".join(words.clean(card.data or "").split()), 400))
    where = [words.clean(card.src or (str(card.video.path) if card.video else "")), words.measures(card)]
    lines.append("  " + "  ".join(part for part in where if part))
    known = f"request {card.request_id}" if card.request_id else f"job {card.job_id}"
    lines.append("  " + words.clean(known))
    return "\n".join(words.clip(line.replace("\n", " "), 500) for line in lines if line.strip())


# -- parts, from top to bottom --------------------------------------------------------


def _heading(card: Card) -> str:
    chips = []
    if card.backend == "local":
        chips.append(_chip("LOCAL PREVIEW · made on this machine, free", "amber"))
    if card.reused:
        chips.append(_chip("reused: no charge", "green"))
    state = words.state_of(card)
    if state is not State.READY:
        chips.append(_chip(words.state_word(card), _STATE_TINTS.get(state, "blue") if state else "grey"))
    style = "display:flex;flex-wrap:wrap;gap:4px 8px;align-items:center"
    return f'<div style="{style}"><strong>{_text(card.title, 200)}</strong> {" ".join(chips)}</div>'


def _prompt(card: Card) -> str:
    if not card.prompt or card.prompt == card.title:
        return ""
    style = f"font-size:15px;margin:6px 0;{_WRAP}"
    return f'<div dir="auto" style="{style}">{_text(card.prompt)}</div>'


def _parameters(card: Card) -> str:
    pairs = [
        f'<span style="{_QUIET}">{escape(name)}</span> <bdi>{escape(value)}</bdi>'
        for name, value in words.parameters(card)
    ]
    return _row(pairs)


def _data(card: Card) -> str:
    if not card.data:
        return ""
    style = f"margin:8px 0;font-size:13px;max-height:240px;overflow:auto;{_WRAP}"
    return f'<pre style="{style}">{_text(card.data)}</pre>'


def _state(card: Card) -> str:
    said = words.state_lines(card)
    if not said:
        return ""
    state = words.state_of(card)
    tint = _TINTS[_STATE_TINTS.get(state, "blue") if state else "grey"]
    style = f"margin:8px 0;padding:4px 10px;border-left:3px solid rgba({tint},0.9);{_WRAP}"
    return f'<div style="{style}">{_line(chr(10).join(said))}</div>'


def _origin(card: Card) -> str:
    facts = [escape(words.measures(card))] if card.video is not None else []
    facts += [escape(fact) for fact in words.origin(card) if not fact.startswith("reused")]
    if card.src and file_name(card.src):
        link = escape(address(card.src))
        facts.append(f'<a href="{link}"><bdi>{_text(file_name(card.src), 200)}</bdi></a>')
    for name, src in card.others.items():
        facts.append(f'<a href="{escape(address(src))}"><bdi>{_text(name, 60)}</bdi></a>')
    ids = [_code(card.endpoint)] + ([f"request {_code(card.request_id)}"] if card.request_id else [])
    return _row(facts) + _row(ids, f"font-size:11px;{_QUIET};")


def _log(card: Card, room: int) -> str:
    said = words.log(card, room)
    if not said:
        return ""
    shown = " open" if words.state_of(card) is State.FAILED else ""
    count = f"{len(card.lines)} line{'s' * (len(card.lines) != 1)}"
    style = f"margin:4px 0 0;max-height:240px;overflow:auto;font-size:12px;{_WRAP}"
    summary = f'<summary style="cursor:pointer;{_QUIET}">Log · {count}</summary>'
    return (
        f'<details{shown} style="margin-top:6px">{summary}<pre style="{style}">{_line(said)}</pre></details>'
    )


# -- small pieces ---------------------------------------------------------------------


def _row(parts: list[str], style: str = "") -> str:
    if not parts:
        return ""
    return f'<div style="margin-top:2px;{style}overflow-wrap:break-word">{" · ".join(parts)}</div>'


def _chip(said: str, tint: str) -> str:
    colour = _TINTS[tint]
    style = (
        f"font-size:11px;padding:0 8px;border-radius:10px;border:1px solid rgba({colour},0.8);"
        f"background:rgba({colour},0.18)"
    )
    return f'<span style="{style}">{escape(said)}</span>'


def _text(said: str, length: int = 4_000) -> str:
    """Text from outside, fit for HTML, also inside an attribute."""
    return _line(words.clip(words.clean(said), length))


def _line(said: str) -> str:
    """Text as HTML without a line break: in Markdown, a blank line would end the card."""
    return escape(said).replace("\n", "&#10;")


def _code(said: str) -> str:
    # No <code>: themes give it a box, and a request id would no longer fit its line.
    return f'<span style="font-family:monospace">{_text(said, 200)}</span>'
