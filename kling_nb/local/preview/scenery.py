"""`choose_scenery` chooses the preview's scenery, its colours and layers, by the prompt."""

from __future__ import annotations

import colorsys
import hashlib
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Colour = npt.NDArray[np.floating[Any]]  # Red, green and blue in 0…1, shape (3,).


class Theme(NamedTuple):
    """A theme of previews. Colours are written as `rrggbb`.

    Attributes:
        words: Words of a prompt that select the theme. Themes without words are for all other prompts.
        sky: Four colours from top to bottom.
        lights: Three colours of lights. The first is the accent colour.
        layers: Compositions to choose from: names of `scene.LAYERS`, back to front.
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
        layers: Names of `scene.LAYERS`, back to front.
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
