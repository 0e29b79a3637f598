"""The look of cards, as inline styles: that of the live views, whose sheets are in `js/shared/`.

An inline style cannot ask for the theme, and sanitisers drop a value that they do not know. So each colour is
declared twice. The first one lies between those of both themes; every reader keeps it. The second one is the
very colour of the live view, by the brightness of the text around it: `from currentColor`.
`tests/unit/test_card_style.py` compares all of this with the sheets of the live views.
"""

from __future__ import annotations

from kling_nb.events import State

COLOURS = {
    "paper": ("#ffffff", "#1b1d20"),
    "quiet": ("#59636e", "#a9b1ba"),
    "line": ("#d8dce0", "#3a3f45"),
    "edge": ("#858e97", "#78828c"),
    "brand": ("#1565c0", "#64b5f6"),
    "good": ("#2e7d32", "#66bb6a"),
    "warn": ("#a65f00", "#ffb74d"),
    "bad": ("#c62828", "#ef5350"),
}
"""The colours on light and on dark pages: `--kling-NAME` of the live views."""

_OF_STATES = {
    State.IN_QUEUE: "warn",
    State.IN_PROGRESS: "brand",
    State.DOWNLOADING: "brand",
    State.READY: "good",
    State.FAILED: "bad",
    State.UNCERTAIN: "warn",
}


def colour_of(state: State | None) -> str:
    """Return the name of the colour of a state."""
    return _OF_STATES.get(state, "quiet") if state else "quiet"


def paint(declaration: str, name: str, alpha: float = 1.0) -> str:
    """Return a declaration with a colour, and the one that makes it exact where the reader keeps it.

    Args:
        declaration: Such as `background:`, or `border-left:3px solid`, which the colour follows.
        name: Name of the colour.
        alpha: Opacity from 0 to 1.
    """
    between = ",".join(f"{(one + other) // 2}" for one, other in zip(*_numbers(name), strict=True))
    rough = f"rgba({between},{alpha:g})" if alpha < 1 else f"rgb({between})"
    if name == "line":
        rough = "rgba(128,128,128,0.3)"
    property_name = declaration.partition(":")[0]
    exact = property_name + ("-color" if property_name.startswith("border") else "")
    separator = "" if declaration.endswith(":") else " "
    return f"{declaration}{separator}{rough};{exact}:{_exact(name, alpha)}"


def _exact(name: str, alpha: float = 1.0) -> str:
    """Return a colour of the live view, for the theme that the text's brightness shows."""
    dark_page = "clamp(0,r - 128,1)"  # 1 where the text is bright, else 0
    parts = " ".join(
        f"calc({one} + {other - one}*{dark_page})" for one, other in zip(*_numbers(name), strict=True)
    )
    colour = f"rgb(from currentColor {parts} / {alpha:g})"  # else the text's own alpha, 0.87 in JupyterLab
    return f"var(--vscode-widget-border,var(--colab-border-color,{colour}))" if name == "line" else colour


def _numbers(name: str) -> tuple[bytes, bytes]:
    light, dark = COLOURS[name]
    return bytes.fromhex(light[1:]), bytes.fromhex(dark[1:])


TALLEST = 420
"""Largest height of the stage, in pixels."""

_PAPER = (
    "var(--vscode-editor-background,var(--colab-primary-surface-color,"
    f"var(--jp-layout-color1,{_exact('paper')})))"
)
_INK = "var(--vscode-foreground,var(--colab-primary-text-color,var(--jp-ui-font-color1,inherit)))"
_FONT = "var(--vscode-font-family,var(--jp-ui-font-family,inherit))"
_CODE = "var(--vscode-editor-font-family,var(--jp-code-font-family,monospace))"

FRAME = (
    f"{paint('border:1px solid', 'line')};margin:2px 0;border-radius:6px;overflow:hidden;"
    f"background:{_PAPER};color:{_INK};font-family:{_FONT};font-size:13px;line-height:1.45;"
    "font-variant-numeric:tabular-nums"
)
"""Of the card: paper, ink and type of the front end, in the order of the live view."""
RULE = paint("border-top:1px solid", "line")
"""Above a part of the card."""

FADE = (
    f"position:sticky;right:0;flex:none;width:16px;background:linear-gradient(to right,transparent,{_PAPER})"
)
"""Of an empty element behind what scrolls sideways: while there is more, it lies on the edge of it."""

QUIET = "opacity:0.75"
SMALL = f"font-size:12px;{QUIET}"
WRAP = "white-space:pre-wrap;overflow-wrap:break-word"
BAR = "display:flex;flex-wrap:wrap;align-items:center;gap:4px 8px;padding:5px 12px"
HEAD = f"{BAR};box-sizing:border-box;min-height:36px"
NAMES = "display:flex;flex-wrap:wrap;align-items:center;gap:4px 8px;flex-grow:1;flex-basis:340px;min-width:0"
"""Title and what follows. They are below the chip where the card is narrow."""
BADGE = "font-size:10px;padding:0 6px;border:1px dashed;border-radius:3px"
STAGE = "background:rgba(128,128,128,0.16)"
TINT = "background:rgba(128,128,128,0.12);outline:1px solid transparent;outline-offset:-1px"
"""Of a box. Forced colours, which take its ground, show its outline."""
THUMB = "flex:none;display:block;width:104px;border-radius:4px;color:inherit;text-decoration:none"
THUMB_SHOWN = f"{THUMB};{paint('border:2px solid', 'brand')};padding:1px"
THUMB_OTHER = f"{THUMB};border:1px solid rgba(128,128,128,0.5);padding:2px"
"""Of the take that is shown in the strip, and of the others."""
CAPTION = (
    "display:-webkit-box;overflow:hidden;-webkit-box-orient:vertical;-webkit-line-clamp:2;padding:0 3px;"
    "font-size:11px;line-height:1.3"
)
_CORNER = "padding:0 4px;border-radius:3px;font-size:11px;line-height:16px"
STARRED = f"{_CORNER};background:rgba(0,0,0,0.7);color:#ffd479"
USED = f"{_CORNER};font-weight:600;{paint('background:', 'brand')}"
USED_WORDS = f"color:#fff;color:{_exact('paper')}"
"""Of the words on the ground of `USED`: of an element inside, because a ground follows the text around it."""
STAR, STAR_EMPTY = paint("color:", "warn"), paint("color:", "edge")
CODE = f"font-family:monospace;font-family:{_CODE}"
TERMS = "display:grid;grid-template-columns:auto 1fr;gap:2px 16px;margin:0;padding:0 12px 6px;font-size:12px"
TERM = "float:none;width:auto;margin:0;padding:0;font-weight:400"
"""Of a list of names and values, and of each of them: JupyterLab lays out such lists by floats."""

CONTROLS, CONTROLS_FORCED = 64, 100
"""Pixels of the browser's controls below the image: as many as those of Chromium need. With forced colours
they have a ground."""
CONTROLS_GROUND = "#1b1d20"
"""Below the controls, which are white in every theme: that of the live view's full screen."""


CONTROLS_ROOM = (
    f"font-size:{CONTROLS}px;"
    f"font-size:if(media(forced-colors: active): {CONTROLS_FORCED}px; else: {CONTROLS}px);"
    "grid-template-rows:1em auto minmax(1em,auto);margin-top:-1em"
)
"""Of the grid of a player: room for the controls below the image, and as much above it, which is cut off."""
AUDIO = "color-scheme:if(media(forced-colors: active): light; else: inherit);width:100%;display:block"
"""With forced colours, Chromium's controls on a dark page have icons in the colour of their ground."""
CONTROLS_NOTE = (
    f"padding:6px 10px;font-size:12px;color:#e6e8eb;background:{CONTROLS_GROUND};"
    f"border-left:3px solid {COLOURS['warn'][1]};{WRAP}"
)
"""Of what is in the place of the controls."""


def chip(state: State | None) -> str:
    """Return the style of a state's chip, which has a `dot`."""
    shape = "display:inline-flex;flex:none;align-items:center;gap:6px;padding:1px 9px;border-radius:9px"
    shape += ";outline:1px solid transparent;outline-offset:-1px"  # forced colours show it
    return f"{shape};font-size:12px;font-weight:600;{paint('background:', colour_of(state), 0.14)}"


def dot(state: State | None) -> str:
    """Return the style of an empty element that is a dot in the colour of a state."""
    return f"border-radius:50%;{paint('border:4px solid', colour_of(state))}"


def message(state: State | None) -> str:
    """Return the style of a box that says why there is no result. It covers the grey of a stage."""
    name = colour_of(state)
    ground = f"{paint('background:', name, 0.1)};background:color-mix(in srgb,{_exact(name)} 10%,{_PAPER})"
    return f"padding:6px 10px;max-width:62ch;{paint('border-left:3px solid', name)};{ground};{WRAP}"
