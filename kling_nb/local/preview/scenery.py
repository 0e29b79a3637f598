"""`choose_scenery` chooses the preview's scenery, its colours and layers, by the prompt. `Scene` draws it.

The layers are soft, with circular motion, so that the clip loops. They have no sharp edges, so they are drawn
at a third of the frame's size and enlarged.
"""

from __future__ import annotations

import colorsys
import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter

Colour = npt.NDArray[np.floating[Any]]  # Red, green and blue in 0…1, shape (3,).


class Theme(NamedTuple):
    """A theme of previews. Colours are written as `rrggbb`.

    Attributes:
        words: Words of a prompt that select the theme. Themes without words are for all other prompts.
        sky: Four colours from top to bottom.
        lights: Three colours of lights. The first is the accent colour.
        layers: Compositions to choose from: names of `LAYERS`, back to front.
    """

    words: str
    sky: str
    lights: str
    layers: tuple[str, ...]


THEMES = {
    "neon": Theme("neon cyberpunk tokyo arcade hologram synthwave nightclub robot 霓虹 东京 東京",
        "0a0820 1c1048 5a1a78 a82a78", "ff4fa3 22d3ee 8b5cf6", ("beams orbs", "curtains orbs", "mesh orbs")),
    "city": Theme("city street skyline urban downtown building subway paris london taxi car 城市 街",
        "14223c 34486e a9708a f5b183", "ffb978 8fb3ff ff7d6b", ("sun hills orbs", "mesh orbs", "moon orbs")),
    "sea": Theme("sea ocean beach wave coast surf sail boat ship island harbour lake dolphin 海 湖",
        "0b2545 1d5480 5fa3b5 f8d9a8", "ffe0a8 7fe0e0 fff3d6", ("sun waves", "rings sun waves")),
    "deep": Theme("underwater reef coral diver jellyfish whale shark turtle fish koi pond 水下 鱼",
        "2bb3b8 0f6f93 083f6b 031a38", "7df3e1 1e8fbf e9fffb", ("beams orbs", "rings orbs", "beams waves")),
    "forest": Theme("forest jungle tree wood pine moss bear leaf fox deer 森林 树 竹",
        "0d2b2a 245148 7d9b6c f2e2a4", "f3d879 4aa37a fff6cf", ("beams hills", "sun hills orbs")),
    "fire": Theme("fire flame lava volcano ember burning dragon inferno forge phoenix 火 龙 熔岩",
        "150507 43100d a8300f ff9a2f", "ff9a2f ffd166 c1121f", ("mesh orbs", "sun hills", "curtains hills")),
    "snow": Theme("snow snowy winter ice icy glacier frozen frost blizzard ski alpine penguin polar 雪 冬 冰",
        "23395d 4f7299 9dbad3 e3ebf2", "bfe3ff ffffff 8fb8de", ("sun hills", "hills orbs")),
    "aurora": Theme("aurora borealis northern 极光",
        "050b1f 0b2038 12455a 1f7a6d", "3df5a6 38bdf8 a78bfa", ("curtains hills", "stars curtains waves")),
    "desert": Theme("desert dune sand sahara camel canyon cactus caravan mars 沙漠 沙",
        "3b2747 8a4a5c df8a5b fbd79b", "ffcf8f fff0cc e76f51", ("sun hills", "rings sun hills")),
    "space": Theme("space galaxy planet star cosmos cosmic nebula astronaut orbit universe 宇宙 太空 星",
        "02030a 0a0d22 16143a 2a1a52", "b79bff 5aa9ff ff8ac4", ("stars moon", "stars rings", "mesh stars")),
    "night": Theme("night midnight moon moonlight moonlit dark dream dreamy sleeping lullaby 夜 月",
        "060a1f 101f47 27407a 6f86b8", "c9d6ff 4f6fd0 fbfaf0", ("stars moon hills", "stars moon waves")),
    "gold": Theme("gold golden sunset sunrise dusk dawn autumn honey amber wheat harvest 金 日落 秋",
        "2c1b3d 74355a e0704f ffd27a", "ffd27a fff4cf ff8552", ("sun hills", "sun waves", "sun orbs")),
    "spring": Theme("blossom flower spring petal cherry sakura garden rose tulip wedding 花 春 樱",
        "3a3566 8b6aa5 e79dbb ffe0d2", "ffc2d9 b9a1ff fff7ef", ("mesh orbs", "sun hills", "hills orbs")),
    "storm": Theme("storm rain rainy thunder lightning monsoon drizzle hurricane umbrella 雨 暴风",
        "0d141d 22303f 46596b 8fa2ad", "a9d3ee 9fb9cc 33506b", ("beams hills", "rings waves", "beams waves")),
    "meadow": Theme("meadow field grass farm countryside summer kite horse sheep valley puppy 草原 夏",
        "17464a 3f9490 9fd08c f6f0c4", "f2e38a fffce8 7cc6a4", ("sun hills", "hills orbs")),
    "plum": Theme("", "1d1135 47215f 8f3f86 f09a9a", "f7a8b8 c084fc fb7185",
        ("mesh", "rings waves", "moon waves", "mesh orbs")),
    "indigo": Theme("", "0d1030 26307a 6a63c8 ffb8a6", "ffc2a6 7aa2ff fff1e6",
        ("sun hills", "mesh", "rings waves", "beams orbs")),
    "lagoon": Theme("", "0a2a3f 146078 46ad9f fbe3a8", "8ff0d8 ffe08a 2ec4b6",
        ("sun waves", "mesh", "rings orbs", "beams waves")),
    "ember": Theme("", "1a1020 4a1f3a b0483f ffb56b", "ffb56b ff6f61 ffe3c2",
        ("mesh", "sun waves", "rings hills", "beams orbs")),
}  # fmt: skip

_NAMED = {
    "red": "e5484d", "orange": "f97316", "yellow": "facc15", "golden": "f2c14e", "green": "34b566",
    "teal": "14b8a6", "turquoise": "2dd4bf", "cyan": "22d3ee", "blue": "3b82f6", "purple": "a855f7",
    "violet": "8b5cf6", "magenta": "e23ec0", "pink": "f472b6", "white": "f4f6fa", "brown": "a4703f",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenery:
    """The contents of a preview's background.

    Attributes:
        name: Name of the theme.
        sky: Colours of the sky from top to bottom.
        land: Colours of the farthest and the nearest hills.
        dark: Colour of the shade behind the title.
        lights: Colours of lights. The first is the accent colour.
        layers: Names of `LAYERS`, back to front.
        seed: Seed for all places, sizes and phases.
    """

    name: str
    sky: tuple[Colour, ...]
    land: tuple[Colour, Colour]
    dark: Colour
    lights: tuple[Colour, ...]
    layers: tuple[str, ...]
    seed: int


def seed_of(text: str) -> int:
    """Return a number of 64 bits that depends only on the text."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def choose_scenery(prompt: str, salt: str = "") -> Scenery:
    """Choose the preview's scenery: the theme by the prompt's words, the rest by the prompt's hash.

    The theme is the row of `THEMES` with most words of the prompt. Earlier words count more, because a
    sentence usually begins with its subject. A prompt without such words gets a theme without words.
    The hash chooses one of the theme's compositions and changes all hues a little. The first colour in the
    prompt (`_NAMED`) becomes the accent, and it tints the sky of a theme without words.

    Args:
        prompt: The prompt.
        salt: Other parameters. They change composition and places, but not theme and colours.
    """
    plain = re.findall(r"[a-z]+", prompt.lower())
    words = [form for word in plain for form in {word: 0, word.removesuffix("s"): 0}]
    scores = {name: _score(words, prompt, theme.words) for name, theme in THEMES.items()}
    name, look = max(scores, key=lambda name: scores[name]), seed_of(prompt)
    if scores[name] == 0:
        quiet = [name for name, theme in THEMES.items() if not theme.words]
        name = quiet[look % len(quiet)]
    theme, seed = THEMES[name], seed_of(f"{prompt}\0{salt}")
    turn = ((look >> 16) % 1000 / 1000 - 0.5) * 0.05
    sky, lights = (tuple(_rgb(code, turn) for code in row.split()) for row in (theme.sky, theme.lights))
    named = next((_rgb(_NAMED[word]) for word in words if word in _NAMED), None)
    if named is not None:
        lights = (named, *lights[1:])
        if not theme.words:
            sky = (sky[0], *(colour * 0.6 + named * 0.4 for colour in sky[1:-1]), sky[-1])
    dark = min(sky, key=lambda colour: float(colour.sum()))
    land = sky[1] * 0.4 + sky[2] * 0.5, dark * 0.8 + sky[1] * 0.15
    layers = tuple(theme.layers[seed % len(theme.layers)].split())
    return Scenery(name, sky, land, dark * 0.45, lights, layers, seed)


def _score(words: list[str], prompt: str, keys: str) -> float:
    wanted = set(keys.split())
    latin = sum(1.0 - 0.4 * at / len(words) for at, word in enumerate(words) if word in wanted)
    return latin + sum(1.0 for key in wanted if not key.isascii() and key in prompt)


def _rgb(code: str, turn: float = 0.0) -> Colour:
    """Return a colour with its hue moved by a share of the colour circle."""
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    return np.array(colorsys.hls_to_rgb((hue + turn) % 1, light, saturation), np.float32)


# -- drawing ---------------------------------------------------------------------------

Floats = npt.NDArray[Any]

_SHRINK = 3
_TURN_SECONDS = 6.0  # Approximate period of all motion.


@dataclass(frozen=True, slots=True)
class Field:
    """The small frame on which layers are drawn. All lengths are shares of its shorter side.

    Attributes:
        x: Positions of the columns, shape (columns,).
        y: Positions of the rows, shape (rows, 1).
        size: Width and height.
        pixel: Side of one pixel.
        spot: Place of sun, moon or rings, in the upper right, where no title is.
        scenery: Scenery with the colours.
        random: Source of places, sizes and phases. It gives the same numbers for every frame.
    """

    x: Floats
    y: Floats
    size: tuple[float, float]
    pixel: float
    spot: tuple[float, float]
    scenery: Scenery
    random: np.random.Generator

    def draw(self, low: float, high: float) -> float:
        """Return a random number between two limits."""
        return float(self.random.uniform(low, high))


class Scene:
    """Draws the frames of a scenery. `size` is in pixels, both even."""

    def __init__(self, scenery: Scenery, size: tuple[int, int], seconds: float) -> None:
        columns, rows = (max(side // _SHRINK, 16) for side in size)
        pixel = 1 / min(columns, rows)
        x, y = ((np.arange(count, dtype=np.float32) + 0.5) * pixel for count in (columns, rows))
        wide, high, random = columns * pixel, rows * pixel, np.random.default_rng(scenery.seed)
        spot = wide * float(random.uniform(0.6, 0.82)), high * float(random.uniform(0.24, 0.36))
        self._field = Field(x, y[:, None], (wide, high), pixel, spot, scenery, random)
        self._background = _sky(self._field)
        self._turns = max(round(seconds / _TURN_SECONDS), 1)
        self._size, self._enlarge = size, VideoReformatter()

    def frame(self, progress: float) -> npt.NDArray[np.uint8]:
        """Return the frame at `progress` (0 to 1) in planar YUV 4:2:0, shape (height * 3 / 2, width)."""
        image, phase = self._background.copy(), 2 * math.pi * progress * self._turns
        scenery = self._field.scenery
        field = replace(self._field, random=np.random.default_rng(scenery.seed))
        for name in ("glow", *scenery.layers):
            LAYERS[name](field, image, phase)
        # swscale dithers 16-bit input, so that gradients show no bands.
        deep = np.empty((*image.shape[1:], 3), np.uint16)
        deep[...] = np.multiply(np.clip(image, 0, 1, out=image), 65535, out=image).transpose(1, 2, 0)
        small = VideoFrame.from_ndarray(deep, format="rgb48le")
        large = self._enlarge.reformat(
            small, *self._size, "yuv420p", dst_colorspace=Colorspace.ITU709, interpolation="BICUBIC"
        )
        return large.to_ndarray().astype(np.uint8, copy=False)


def _sky(field: Field) -> Floats:
    """Draw the sky as a gradient with a small tilt."""
    stops = np.stack(field.scenery.sky)
    at = field.y / field.size[1] + field.draw(-0.12, 0.12) * (field.x / field.size[0] - 0.5)
    places = np.linspace(0, 0.86, len(stops))
    return np.stack([np.interp(at, places, stops[:, k]) for k in range(3)]).astype(np.float32)


def _screen(image: Floats, light: Floats, colour: Floats) -> None:
    """Add light in the blend mode "screen", which never exceeds 1."""
    image += (1 - image) * (light * colour[:, None, None])


def _glow(field: Field, image: Floats, phase: float) -> None:
    """Draw wide lights that drift behind everything."""
    for colour in field.scenery.lights[1:]:
        start, radius = field.draw(0, 6.28), field.draw(0.3, 0.5)
        x = field.draw(0.1, 0.9) * field.size[0] + 0.16 * math.cos(phase + start)
        y = field.draw(0.1, 0.7) * field.size[1] + 0.1 * math.sin(phase + start)
        across, down = np.exp(-(((field.x - x) / radius) ** 2)), np.exp(-(((field.y - y) / radius) ** 2))
        _screen(image, down * (across * field.draw(0.1, 0.2)), colour)


def _mesh(field: Field, image: Floats, phase: float) -> None:
    """Draw a gradient mesh: colours that blend around six moving points."""
    scenery = field.scenery
    x = field.x + 0.12 * np.sin(field.y * field.draw(4, 8) + phase)
    x += 0.05 * np.sin(x * 9 + field.y * 4 - phase)
    total, colours = np.zeros_like(x), np.zeros_like(image)
    for colour in (*scenery.sky[:3], scenery.dark, *scenery.lights[:2]):
        start, reach = field.draw(0, 6.28), field.draw(0.1, 0.26)
        near = (x - field.draw(0, field.size[0]) - reach * math.cos(phase + start)) ** 2
        near += (field.y - field.draw(0, field.size[1]) - reach * math.sin(phase + start)) ** 2 + 0.02
        weight = 1 / (near * near)
        total += weight
        colours += weight * (0.92 * colour)[:, None, None]
    np.divide(colours, total, out=image)


def _sun(field: Field, image: Floats, phase: float, radius: float = 0.21, white: float = 0.3) -> None:
    """Draw a disc with a glow that moves up and down a little."""
    light, radius = field.scenery.lights[0], radius * field.draw(0.8, 1.2)
    x, y = field.spot[0] - 0.025 * math.cos(phase), field.spot[1] - 0.05 * math.sin(phase)
    far = np.sqrt((field.y - y) ** 2 + (field.x - x) ** 2)  # np.hypot takes five times as long.
    _screen(image, np.exp(-far / (radius * 1.9)) * 0.62, light)
    cover = np.clip((radius - far) / (1.6 * field.pixel), 0, 1)
    cover *= np.clip(1.02 - (field.y - y + radius) * (0.3 / radius), 0, 1)
    image += ((light + (1 - light) * white)[:, None, None] - image) * cover


def _stars(field: Field, image: Floats, phase: float) -> None:
    """Draw small round lights that twinkle."""
    random, near, count = field.random, np.arange(-1, 2), int(70 * math.prod(field.size))
    column = random.uniform(2, len(field.x) - 3, count)
    row = 2 + random.uniform(0, 1, count) ** 1.2 * (len(field.y) * 0.9 - 5)
    bright = 0.15 + 0.85 * random.uniform(0, 1, count) ** 4
    twinkle = np.sin(phase * random.integers(1, 4, count) + random.uniform(0, 6.28, count))
    x, y = column.astype(np.intp) + near[:, None, None], row.astype(np.intp) + near[:, None]
    shape = np.exp(-((x + 0.5 - column) ** 2 + (y + 0.5 - row) ** 2) / (0.35 + 0.3 * bright))
    image[:, y, x] += (1 - image[:, y, x]) * (shape * bright * (0.7 + 0.3 * twinkle))


def _hills(field: Field, image: Floats, phase: float, count: int = 5, *, travel: bool = False) -> None:
    """Draw bands with a bright edge, one behind the other: hills that sway, or waves that travel."""
    (far, near), slope, waves = field.scenery.land, field.draw(-0.1, 0.1), field.draw(0.8, 1.4)
    top, swing = field.draw(0.49, 0.59), field.draw(0.03, 0.05) if travel else field.draw(0.05, 0.085)
    lit = far + (1 - far) * field.scenery.sky[-1] * 0.5
    for number in range(count):
        depth, one, two = number / (count - 1), field.draw(0, 6.28), field.draw(0, 6.28)
        body = far + (near - far) * depth**0.6
        edge = (lit - body) * (0.62 - 0.4 * depth)
        x = field.x * (2 * math.pi * waves / field.size[0] * field.draw(0.75, 1.25) * (1.25 - 0.5 * depth))
        move = (1 if number % 2 else -1) * (phase if travel else 0.55 * math.sin(phase + one))
        crest = swing * (0.55 + 0.45 * depth) * (np.sin(x + one + move) + 0.4 * np.sin(x * 2.3 + two - move))
        crest += slope * (1 - depth) * (field.x / field.size[0] - 0.5)
        crest += (top + (0.98 - top) * depth**1.15) * field.size[1]
        first = max(int(float(crest.min()) / field.pixel) - 3, 0)
        down = np.maximum(field.y[first:] - crest, 0)
        shine = np.exp(down / -(0.1 + 0.16 * depth))
        cover = np.minimum(down / ((1.3 + 5 * (depth - 0.45) ** 2) * field.pixel), 1)
        image[:, first:] += (body[:, None, None] + edge[:, None, None] * shine - image[:, first:]) * cover


def _orbs(field: Field, image: Floats, phase: float) -> None:
    """Draw lights that are out of focus: drifting flat discs with a brighter rim."""
    for number in range(max(round(8 * math.prod(field.size)), 9)):
        start, reach = field.draw(0, 6.28), field.draw(0.03, 0.1)
        x = field.draw(0, field.size[0]) + reach * math.cos(phase + start)
        y = field.draw(0, field.size[1]) + reach * 0.7 * math.sin(phase + start)
        radius, strength = 0.045 + 0.14 * field.draw(0, 1) ** 2, field.draw(0.1, 0.34)
        left, top = (max(int((at - radius) / field.pixel) - 1, 0) for at in (x, y))
        right, bottom = (max(int((at + radius) / field.pixel) + 2, 0) for at in (x, y))
        off = np.sqrt((field.y[top:bottom] - y) ** 2 + (field.x[left:right] - x) ** 2) / radius
        strength *= 0.75 + 0.25 * math.sin(phase + 2 * start)
        light = np.clip((1 - off) * (radius / field.pixel / 2.2), 0, 1) * (0.6 + 0.4 * off**6)
        _screen(image[:, top:bottom, left:right], light * strength, field.scenery.lights[number % 3])


def _curtains(field: Field, image: Floats, phase: float) -> None:
    """Draw hanging curtains of light that fold slowly."""
    for number, colour in enumerate(field.scenery.lights):
        x, turn = field.x * (2.6 + number), (phase if number % 2 else -phase) + field.draw(0, 6.28)
        low = (field.draw(0.28, 0.4) + 0.08 * number) * field.size[1]
        rows = int((low + 0.3) / field.pixel)  # There is no light below these rows.
        below = field.y[:rows] - (low + 0.1 * np.sin(x + turn) + 0.035 * np.sin(x * 2.4 - turn))
        strands = 0.6 + 0.4 * np.sin(x * 6 + 2 * turn) * np.sin(x * 2.7 - turn)
        light = np.exp(np.where(below > 0, below * below * -280, below * 4.5))
        _screen(image[:, :rows], light * (strands * (0.66 - 0.13 * number)), colour)


def _beams(field: Field, image: Floats, phase: float) -> None:
    """Draw beams of light from above the frame."""
    slant = (field.x - field.draw(0.55, 0.85) * field.size[0]) / (field.y + 0.5)
    shafts = np.sin(slant * field.draw(11, 15) + phase) * np.sin(slant * field.draw(5, 7) - phase)
    fade = np.exp(-((field.y / (field.size[1] * 0.8)) ** 2) - (slant / 1.1) ** 2)
    _screen(image, (0.5 + 0.5 * shafts) ** 2 * fade * 0.6, field.scenery.lights[0])


def _rings(field: Field, image: Floats, phase: float) -> None:
    """Draw wide circles that spread from a point."""
    (x, y), density = field.spot, field.draw(4.5, 6.5)
    far = np.sqrt((field.y - y) ** 2 + (field.x - x) ** 2)
    place = far * density - phase / math.pi
    place -= np.floor(place)
    edge = np.minimum((1 - place) / (2 * field.pixel * density), 1) * place * place
    _screen(image, (0.25 + 0.75 * edge) * np.exp(-far / 0.7) * 0.62, field.scenery.lights[0])


LAYERS: dict[str, Callable[[Field, Floats, float], None]] = {
    "glow": _glow, "mesh": _mesh, "stars": _stars, "orbs": _orbs, "curtains": _curtains,
    "beams": _beams, "rings": _rings, "sun": _sun, "moon": partial(_sun, radius=0.12, white=0.65),
    "hills": _hills, "waves": partial(_hills, count=7, travel=True),
}  # fmt: skip
"""Layers by their names in `scenery.THEMES`. Each one draws over an image at a phase from 0 to 2π."""
