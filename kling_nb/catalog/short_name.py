"""Short names of Kling endpoints, made from their ids by rule.

`fal-ai/kling-video/{generation}/{tier}/{task}` becomes `{generation}-{tier}-{task}`.
Text to video is the unmarked task, and the others lose their "to-video":

    fal-ai/kling-video/v1/pro/text-to-video           v1-pro
    fal-ai/kling-video/v3/turbo/pro/image-to-video    v3-turbo-pro-image
    fal-ai/kling-video/o1/video-to-video/reference    o1-video-reference
"""

from __future__ import annotations

_FAMILY = "fal-ai/kling-video/"

_TASKS = {
    "text-to-video": "",
    "image-to-video": "image",
    "reference-to-video": "reference",
    "video-to-video/edit": "edit",
    "video-to-video/reference": "video-reference",
    "ai-avatar": "avatar",
}

# Ids with no generation in front, and the one of another family.
_IRREGULAR = {
    "fal-ai/kling-video/lipsync/audio-to-video": "lipsync-audio",
    "fal-ai/kling-video/lipsync/text-to-video": "lipsync-text",
    "fal-ai/kling-video/v1/tts": "tts",
    "fal-ai/kling/v1-5/kolors-virtual-try-on": "try-on",
}


def short_name(endpoint_id: str) -> str:
    """The short name of a Kling endpoint; any other endpoint's is its id."""
    if endpoint_id in _IRREGULAR:
        return _IRREGULAR[endpoint_id]
    if not endpoint_id.startswith(_FAMILY):
        return endpoint_id
    rest = endpoint_id.removeprefix(_FAMILY)
    if rest.startswith("ai-avatar/"):  # the task stands first there: ai-avatar/v2/pro
        rest = rest.removeprefix("ai-avatar/") + "/ai-avatar"
    for task, word in _TASKS.items():
        if rest.endswith("/" + task):
            rest = f"{rest.removesuffix(task)}{word}".rstrip("/")
            break
    return rest.replace("/", "-")
