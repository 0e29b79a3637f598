"""`kling-nb verify`: which cells of a notebook have their take, and what the others would cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from kling_nb._default import default_session
from kling_nb._plan import Plan
from kling_nb._session import Session
from kling_nb.errors import KlingError
from kling_nb.notebook.card_words import clean, clip
from kling_nb.notebook.cell_calls import Asked, Reader
from kling_nb.notebook.cell_source import unwrapped
from kling_nb.notebook.cell_values import Unknown
from kling_nb.notebook.frozen import read_notebook
from kling_nb.notebook.mark import Mark

Status = Literal["reusable", "stale", "missing", "unknown", "wrong"]


@dataclass(frozen=True, slots=True)
class Verified:
    """One request of a cell.

    Attributes:
        number: Of the code cell, from 1.
        line: The cell's first line.
        status: "reusable": its take is here. "stale": it is not, and the output is of another request.
            "missing": it is not. "unknown": only running can tell. "wrong": it cannot be sent.
        text: The take's file, or why there is none.
        cost: US dollars that running it would cost; 0 for a free preview, None where that is not known.
        on_fal: US dollars that fal would ask for it, also where a preview would be made; None likewise.
        request: What it asks for: requests that are equal are made once. None for one of its own.
    """

    number: int
    line: str
    status: Status
    text: str
    cost: float | None = None
    on_fal: float | None = None
    request: tuple[str, int] | None = None

    @property
    def reusable(self) -> bool:
        """Whether running it costs nothing and asks nobody."""
        return self.status == "reusable"


def verify(path: Path) -> list[Verified]:
    """Look at every request that a notebook makes. Nothing is run or submitted.

    The schema of an endpoint that does not come with the package is fetched where it is not stored.

    Raises:
        UsageError: It is no notebook.
    """
    notebook = read_notebook(path)
    sessions = Sessions()
    with chdir(path.absolute().parent):  # where its kernel would work: media folder, pictures
        reader = Reader(sessions.usual.settings().endpoint, sessions.usual.endpoint)
        code = [cell for cell in notebook["cells"] if cell.get("cell_type") == "code"]
        return [
            one for number, cell in enumerate(code, 1) for one in _verified(number, cell, reader, sessions)
        ]


def report(found: list[Verified]) -> str:
    """A line for each request, and the sum."""
    if not found:
        return "No cell makes a request of kling_nb."
    width = min(48, max(len(one.line) for one in found))
    lines = [
        f"cell {one.number:>3}  {one.status:<8}  {clip(one.line, width):<{width}}  {one.text}"
        for one in found
    ]
    count = sum(one.reusable for one in found)
    return "\n".join([*lines, f"{count} of {len(found)} requests have their take.{_to_complete(found)}"])


def _to_complete(found: list[Verified]) -> str:
    left = [one for one in found if not one.reusable]
    if not left:
        return " Running it all costs nothing."
    once = [*{one.request or id(one): one for one in left}.values()]
    paid = [one.cost for one in once if one.cost]
    free = [one for one in once if one.cost == 0]
    dark = sum(one.cost is None for one in once)
    parts = [f"about ${sum(paid):.2f}"] if paid else []
    parts += [_free(free)] if free else []
    parts += [f"{dark} whose price is not known"] if dark else []
    return f" To complete: {', '.join(parts)}."


def _free(previews: list[Verified]) -> str:
    """How many requests cost nothing as things are, and what fal would ask for them."""
    asked = [one.on_fal for one in previews if one.on_fal]
    said = f"{len(previews)} free preview{'s' * (len(previews) != 1)}"
    if not asked:
        return said
    dark = len(previews) - len(asked)
    return f"{said} (about ${sum(asked):.2f} on fal{f', {dark} not known' if dark else ''})"


class Sessions:
    """Plans the requests of a notebook, with the settings that it has made."""

    def __init__(self) -> None:
        self.usual = default_session()
        self._others: list[tuple[Mapping[str, Any], Session]] = []

    def plan(self, call: Asked) -> Plan:
        """What running a call would do.

        Raises:
            KlingError: Bad input, or bad settings.
        """
        return self._with(call.settings).plan(call.prompt, **call.arguments)

    def _with(self, settings: Mapping[str, Any]) -> Session:
        if not settings:
            return self.usual
        for known, session in self._others:
            if known == settings:
                return session
        self._others.append((settings, Session(**settings)))
        return self._others[-1][1]


def _verified(number: int, cell: dict[str, Any], reader: Reader, sessions: Sessions) -> Iterator[Verified]:
    source = cell.get("source") or ""
    text = "".join(source) if isinstance(source, list) else str(source)
    line = " ".join(clean(unwrapped(text)).strip().partition("\n")[0].split())
    try:
        for call in reader.calls(text):
            if isinstance(call, Unknown):
                yield Verified(number, line, "unknown", str(call))
            elif call is not None:
                blank = Verified(
                    number, f"{clip(line, 24)} [{call.part}]" if call.part else line, "missing", ""
                )
                plan = sessions.plan(call)
                yield _judged(blank, call, cell, plan)
                if call.name and plan.found is not None:
                    reader.variables.learn(call.name, plan.found.result())
    except KlingError as fault:
        if not _is_to_fail(cell):
            yield Verified(number, line, "wrong", fault.message.partition("\n")[0])


def _is_to_fail(cell: dict[str, Any]) -> bool:
    """Whether its author wants to show an error."""
    return "raises-exception" in (cell.get("metadata") or {}).get("tags", ())


def _judged(blank: Verified, call: Asked, cell: dict[str, Any], plan: Plan) -> Verified:
    if plan.found is not None:
        path = plan.found.path.relative_to(plan.settings.media.parent)
        return replace(blank, status="reusable", text=str(path), cost=0.0)
    local = plan.settings.backend == "local"
    said = replace(blank, cost=0.0 if local else plan.estimate, on_fal=plan.estimate)
    price = _price(plan)
    if plan.new:
        return replace(said, text=f"another take each time, {price}")
    said = replace(said, request=(plan.request.fingerprint, plan.take or 1))
    if plan.unfinished is not None and plan.unfinished.gone:
        text = f"its result is gone at fal (job {plan.unfinished.id}); another one with --new, {price}"
        return replace(said, text=text)
    shown = _shown(cell)
    if shown and plan.request.fingerprint not in shown:
        return replace(said, status="stale", text=f"its request changed since its output was made, {price}")
    return replace(said, text=f"no take of it, {price}")


def _price(plan: Plan) -> str:
    usd = None if plan.estimate is None else f"about ${plan.estimate:.2f}"
    if plan.settings.backend == "local":
        return f"free preview ({usd} on fal)" if usd else "free preview"
    return usd or "price not known"


def _shown(cell: dict[str, Any]) -> set[str]:
    """Fingerprints of what the outputs of a cell show, those of a sweep's parts among them."""
    marks = map(Mark.of, cell.get("outputs", ()))
    found = (
        (mark.fingerprint, *(part.fingerprint for part in mark.parts)) for mark in marks if mark is not None
    )
    return {one for several in found for one in several if one}
