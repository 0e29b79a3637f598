"""The table of `%kling endpoints`: names, prices with their dates, parameters. As text and as HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape

from kling_nb.catalog import Endpoint
from kling_nb.catalog.control import Control
from kling_nb.catalog.wording import visible
from kling_nb.notebook.listing import clip, price

FEW = 16
"""So many endpoints have all their parameters in a table of text; of more, one line each is shown."""

_OPTIONS = 4
_LEAST_WIDTH = 40
_GAP = "  "
_RIM = "1px solid rgba(128,128,128,0.35)"
_CELL = "text-align:left;vertical-align:top;padding:4px 12px 4px 0;white-space:normal"
_SMALL = "opacity:0.7;font-size:11px"
_FOOT = "* is required. Prices are a rough guard, not a quote: %kling price NAME"


def text(found: Sequence[Endpoint], width: int) -> str:
    """The table for a terminal of `width` columns."""
    rows = [("NAME", "TITLE", "PRICE")] + [
        (visible(one.short_name), visible(_title(one)), price_and_date(one)) for one in found
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    left = sum(widths) + 3 * len(_GAP)
    room = max(width - left, _LEAST_WIDTH)
    lines = []
    for row, told in zip(rows, ["PARAMETERS", *map(_told, found)], strict=True):
        head = _GAP.join(cell.ljust(size) for cell, size in zip(row, widths, strict=True))
        parts = textwrap.wrap(told, room, break_on_hyphens=False) if len(found) <= FEW else [clip(told, room)]
        lines += [f"{head}{_GAP}{parts[0] if parts else ''}".rstrip()]
        lines += [" " * left + part for part in parts[1:]]
    return "\n".join([*lines, _FOOT, *_notices(found)])


def html(found: Sequence[Endpoint]) -> str:
    """The table for a page, with inline styles only: notebooks that are not trusted drop all others."""
    heads = "".join(
        f'<th style="{_CELL}">{word}</th>' for word in ("Name", "Endpoint", "Price", "Parameters")
    )
    rows = "".join(_row(one) for one in found)
    notes = "".join(f"<div>{escape(line)}</div>" for line in (_FOOT, *_notices(found)))
    return (
        '<div class="kling-endpoints mathjax_ignore tex2jax_ignore" '
        f'style="max-height:480px;overflow:auto;border:{_RIM};border-radius:8px;padding:4px 12px">'
        '<table style="border-collapse:collapse;font-size:13px;width:100%">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        f'<div style="opacity:0.7;font-size:11px;padding:4px 0">{notes}</div></div>'
    )


def price_and_date(one: Endpoint) -> str:
    """The catalogue's price and the day it was read, or that it is undated or unknown."""
    if one.price is None:
        return "unknown"
    return f"{price(one)} ({one.price.as_of or 'undated'})"


def _row(one: Endpoint) -> str:
    told = ", ".join(
        f"<strong>{escape(_brief(control))}</strong>" if control.required else escape(_brief(control))
        for control in one.parameters
    )
    note = f'<div style="{_SMALL}">{escape(one.price.note)}</div>' if one.price else ""
    full = f'<div style="{_SMALL}">{escape(visible(one.id))}</div>' if one.id != one.short_name else ""
    cells = (
        f'<span style="font-family:monospace;white-space:nowrap">{escape(visible(one.short_name))}</span>',
        escape(visible(_title(one))) + full,
        f"{escape(price_and_date(one))}{note}",
        told,
    )
    return "<tr>" + "".join(f'<td style="{_CELL};border-top:{_RIM}">{cell}</td>' for cell in cells) + "</tr>"


def _title(one: Endpoint) -> str:
    return f"{one.title} (schema of {one.fetched_at[:10]})" if one.fetched_at else one.title


def _notices(found: Sequence[Endpoint]) -> list[str]:
    return [visible(one.notice) for one in found if one.notice]


def _told(one: Endpoint) -> str:
    return ", ".join(_brief(control) for control in one.parameters)


def _brief(control: Control) -> str:
    """`aspect_ratio=16:9|9:16|1:1`, `duration=3…15`, `image_url*`."""
    name = visible(control.name) + "*" * control.required
    if control.options is not None:
        options = [visible(str(option)) for option in control.options]
        if len(options) <= _OPTIONS:
            return f"{name}={'|'.join(options)}"
        span = f"{options[0]}…{options[-1]}" if control.kind == "stepped" else f"({len(options)} words)"
        return f"{name}={span}"
    if control.minimum is not None and control.maximum is not None:
        return f"{name}={control.minimum:g}…{control.maximum:g}"
    return name
