"""The local preview server refuses what fal would: a rehearsal fails where the real job would."""

import base64
import io

import pytest
from clips import clip_bytes
from PIL import Image

O1 = "fal-ai/kling-video/o1/"
TURBO = "fal-ai/kling-video/v3/turbo/pro/image-to-video"


def image(size, form="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, form)
    return f"data:image/{form.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


def clip(**options):
    return "data:video/mp4;base64," + base64.b64encode(clip_bytes(**options)).decode()


@pytest.mark.parametrize(
    ("endpoint", "values", "kinds", "context"),
    [
        (
            O1 + "image-to-video",
            {"start_image_url": image((200, 400))},
            ["image_too_small"],
            {"min_width": 300, "min_height": 300},
        ),
        (O1 + "image-to-video", {"start_image_url": image((1200, 300))}, ["value_error"], None),
        (
            O1 + "video-to-video/edit",
            {"video_url": clip(size=(720, 720), frames=4, fps=24)},
            ["video_duration_too_short"],
            {"min_duration": 3, "provided_duration": 0.167},
        ),
        (
            O1 + "video-to-video/edit",
            {"video_url": clip(frames=8, fps=2)},
            ["value_error"] * 3,  # width, height, frame rate
            None,
        ),
        (
            TURBO,
            {"image_url": image((400, 400), "WEBP")},
            ["unsupported_image_format"],
            {"supported_formats": ["jpg", "png"]},
        ),
        (
            O1 + "image-to-video",
            {"prompt": "@Image2", "start_image_url": image((300, 300))},
            ["value_error"],
            None,
        ),
    ],
)
def test_a_file_that_breaks_a_limit_fails_with_fals_types(server, endpoint, values, kinds, context):
    job = server.submit(endpoint, {"prompt": "a heron", **values})
    server.finish(job)
    reply = server.http.get(job["response_url"])
    entries = reply.json()["detail"]
    assert reply.status_code == 422
    assert [entry["type"] for entry in entries] == kinds
    assert entries[0].get("ctx") == context
    assert entries[0]["loc"][:1] == ["body"]
