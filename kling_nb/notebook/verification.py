"""`kling-nb verify`: which cells of a notebook have their take, and what the others would cost."""

from __future__ import annotations

from collections.abc import Iterator
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
        cost: US dollars that fal would ask for it; 0 for a free preview, None where that is not known.
    """

    number: int
    line: str
    status: Status
    text: str
    cost: float | None = None

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
    session = default_session()
    with chdir(path.absolute().parent):  # where its kernel would work: media folder, pictures
        reader = Reader(session.settings().endpoint, session.endpoint)
        code = [cell for cell in notebook["cells"] if cell.get("cell_type") == "code"]
        return [
            one for number, cell in enumerate(code, 1) for one in _verified(number, cell, reader, session)
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
    open_ones = [one for one in found if not one.reusable]
    if not open_ones:
        return " Running it all costs nothing."
    paid = [one.cost for one in open_ones if one.cost]
    free = sum(one.cost == 0 for one in open_ones)
    dark = sum(one.cost is None for one in open_ones)
    parts = [f"about ${sum(paid):.2f}"] if paid else []
    parts += [f"{free} free previews"] if free else []
    parts += [f"{dark} whose price is not known"] if dark else []
    return f" To complete: {', '.join(parts)}."


def _verified(number: int, cell: dict[str, Any], reader: Reader, session: Session) -> Iterator[Verified]:
    source = cell.get("source") or ""
    text = "".join(source) if isinstance(source, list) else str(source)
    line = " ".join(clean(text).strip().partition("\n")[0].split())
    try:
        for call in reader.calls(text):
            if isinstance(call, Unknown):
                yield Verified(number, line, "unknown", str(call))
            elif call is not None:
                blank = Verified(
                    number, f"{clip(line, 24)} [{call.part}]" if call.part else line, "missing", ""
                )
                plan = _plan(call, reader, session)
                yield _judged(blank, call, cell, plan)
                if call.name and plan.found is not None:
                    reader.variables.learn(call.name, plan.found.result())
    except KlingError as fault:
        if not _is_to_fail(cell):
            yield Verified(number, line, "wrong", fault.message.partition("\n")[0])


def _is_to_fail(cell: dict[str, Any]) -> bool:
    """Whether its author wants to show an error."""
    return "raises-exception" in (cell.get("metadata") or {}).get("tags", ())


def _plan(call: Asked, reader: Reader, session: Session) -> Plan:
    arguments = {"backend": reader.backend, **call.arguments}
    return session.plan(call.prompt, **arguments)


def _judged(blank: Verified, call: Asked, cell: dict[str, Any], plan: Plan) -> Verified:
    if plan.found is not None:
        path = plan.found.path.relative_to(plan.settings.media.parent)
        return replace(blank, status="reusable", text=str(path), cost=0.0)
    said = replace(blank, cost=plan.estimate if plan.settings.backend == "fal" else 0.0)
    price = _price(plan)
    if call.arguments.get("new"):
        return replace(said, text=f"another take each time, {price}")
    if plan.unfinished is not None and plan.unfinished.gone:
        text = f"its result is gone at fal (job {plan.unfinished.id}); another one with --new, {price}"
        return replace(said, text=text)
    shown = {mark.fingerprint for mark in _marks(cell) if mark.fingerprint}
    if shown and plan.request.fingerprint not in shown:
        return replace(said, status="stale", text=f"its request changed since its output was made, {price}")
    return replace(said, text=f"no take of it, {price}")


def _price(plan: Plan) -> str:
    if plan.settings.backend == "local":
        return "free preview"
    return "price not known" if plan.estimate is None else f"about ${plan.estimate:.2f}"


def _marks(cell: dict[str, Any]) -> list[Mark]:
    found = (Mark.of(output.get("metadata")) for output in cell.get("outputs", ()))
    return [mark for mark in found if mark]
