"""Which texts of a live schema stand for a file, and which files a result holds.

fal's documents have no keyword for it that is always there. The rule, first answer wins:

1. A text without a list of choices whose form field is named `image`, `video` or `audio`
   (`_fal_ui_field`, or `ui.field`, which fal's own site draws from) is a file of that kind.
2. A text whose name ends in `_url` or `_urls`, or whose `format` is `uri` or `binary`, is a file of
   the kind that a word of its name tells (`start_image_url`, `mask_url`, `reference_audio_url`).
3. Failing that, of the kind that its description speaks of, if it speaks of one kind only.

Everything else is plain text (`webhook_url`, `lora_url`): it is sent as it stands. A list of such
texts is a list of files. A result's file is an object with a `url`; its kind comes from its form
field, else from a word in its name, else from its title (`VideoFile`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

KINDS = ("image", "video", "audio")

_WORDS = {
    "image": "image images photo photos picture pictures frame mask face portrait garment thumbnail",
    "video": "video videos clip footage movie",
    "audio": "audio audios voice sound music song speech",
}
_KIND_OF = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_FORMATS = frozenset({"uri", "url", "binary", "data-url"})


def of_input(name: str, schema: Mapping[str, Any]) -> str | None:
    """The kind of file that a text of an input stands for, or None where it is a text.

    Args:
        name: Of the property; of a list, for its items.
        schema: One level of it, without references.
    """
    if schema.get("type") != "string" or "enum" in schema or "const" in schema:
        return None
    hinted = _field(schema)
    if hinted is not None:
        return hinted
    words = _parts(name)
    if not (words[-1:] and words[-1] in {"url", "urls"}) and schema.get("format") not in _FORMATS:
        return None
    named = [_KIND_OF[word] for word in words if word in _KIND_OF]
    if named:
        return named[-1]  # the last is the noun: the audio of `video_audio_url`
    spoken = {_KIND_OF[word] for word in _parts(str(schema.get("description", ""))) if word in _KIND_OF}
    return spoken.pop() if len(spoken) == 1 else None


def of_output(name: str, schema: Mapping[str, Any]) -> str:
    """The kind of a result's file; `data` where it cannot be told."""
    hinted = _field(schema)
    if hinted is not None:
        return hinted
    for text in (name, str(schema.get("title", ""))):
        named = [_KIND_OF[word] for word in _parts(text) if word in _KIND_OF]
        if named:
            return named[0]
    return "data"


def _field(schema: Mapping[str, Any]) -> str | None:
    form = schema.get("ui")
    for field in (schema.get("_fal_ui_field"), form.get("field") if isinstance(form, Mapping) else None):
        if field in KINDS:
            return str(field)
    return None


def _parts(text: str) -> list[str]:
    """Words of a name in any writing: `start_image_url`, `VideoFile`, `image-url`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text[:2000])
    return re.findall(r"[a-z]+", spaced.lower())
