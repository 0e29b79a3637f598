"""What fal states about an input is checked before an upload, and never hides what was paid for."""

import io
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clips import clip_bytes, make_clip
from live_documents import document, optional
from PIL import Image
from scripted import Script, ScriptedFal
from scripted.script import Done

from kling_nb.errors import InputError, JobCancelled, MediaError, MediaInputError, UnknownEndpoint
from kling_nb.job.plan import Outcome
from kling_nb.session import Session
from kling_nb.video import Video

V4 = "kling/v4/text-to-video"
EFFECTS = "fal-ai/kling-video/v1.6/pro/effects"
FOUR = document(
    V4,
    {
        "properties": {
            "prompt": {"title": "Prompt", **optional("string")},
            "duration": {"type": "integer", "minimum": 3, "maximum": 30, "default": 5},
            "resolution": {"type": "string", "enum": ["720p", "1080p"], "default": "1080p"},
        }
    },
    {"properties": {"video": {"$ref": "#/components/schemas/File"}}},
    File={"type": "object", "title": "File", "properties": {"url": {"type": "string"}}, "required": ["url"]},
)


@pytest.fixture
def session(fal: ScriptedFal, make_session: Callable[..., Session]) -> Session:
    fal.platform.openapi[V4] = FOUR
    fal.queue.apps |= {"kling/v4"}
    return make_session(schema_url=fal.url)


def png(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("o1-image", {"image": png((200, 200))}, "200 pixels wide"),
        ("v3-pro", {"multi_prompt": [{"prompt": "x", "duration": 9}] * 2}, "last 18 s in all"),
        ("o1-reference", {"prompt": "@Image2", "image": png((400, 400))}, "names @Image2"),
    ],
)
def test_what_fal_would_refuse_is_neither_uploaded_nor_sent(
    fal: ScriptedFal, session: Session, name: str, values: dict[str, Any], words: str
) -> None:
    values = {"prompt": None if "multi_prompt" in values else "a cat", **values}
    for call in (session.plan, session.submit, session.generate):
        with pytest.raises(InputError, match=words):
            call(endpoint=name, **values)
    with pytest.raises(InputError, match=words):
        session.sweep(endpoint=[name], start=False, **values)
    assert not fal.requests


def test_fit_makes_it_conform_and_the_next_run_buys_nothing(fal: ScriptedFal, session: Session) -> None:
    for _ in range(2):
        assert session.generate("a cat", endpoint="o1-image", image=png((200, 200)), fit="scale") is not None
    assert len(fal.accepted) == 1
    assert fal.accepted[0].input["start_image_url"].startswith(("http://", "data:image/png"))
    plan = session.plan("a cat", endpoint="o1-image", image=png((200, 200)), fit="pad")
    assert plan.notices == ("start_image_url was changed by fit=pad: png, 300 × 300 pixels.",)


MOTION = {
    "endpoint": "v3-pro-motion-control",
    "image": "https://e.org/a.png",
    "character_orientation": "image",
}


def test_fit_converts_a_clip_once_before_the_upload_and_logs_what_changed(
    fal: ScriptedFal, session: Session, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "long.mp4", frames=24, fps=2)
    plan = session.plan("it waves", video_url=clip, fit="pad", **MOTION)
    assert plan.notices == ("video_url was changed by fit=pad: only its first 10 s of 12.",)
    job = session.submit("it waves", video_url=clip, fit="pad", **MOTION)
    job.wait()
    lines = [line.message for line in job.lines]
    assert "kling_nb: converting long.mp4" in lines
    assert "kling_nb: converted long.mp4: cut after 10 s" in lines
    sent = tmp_path / "sent.mp4"
    sent.write_bytes(fal.cdn.get(fal.accepted[0].input["video_url"]).data)
    assert Video.from_file(sent).frame_count == 20
    assert session.submit("it waves", video_url=clip, fit="pad", **MOTION).reused
    again = session.submit("it waves", video_url=clip, fit="pad", new=True, **MOTION)
    again.wait()
    assert [record.exchange for record in fal.requests].count("upload") == 1
    assert not any("convert" in line.message for line in again.lines)


def test_cancel_ends_a_conversion(
    fal: ScriptedFal, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = threading.Event()
    job = session.submit(
        "it waves",
        endpoint="o1-edit",
        video_url=clip_bytes(size=(64, 8), frames=90, fps=10),
        fit="scale",  # 216 frames of 2160 × 720
        on_event=lambda event, _: seen.set() if "converting" in getattr(event, "message", "") else None,
    )
    assert seen.wait(60)
    job.cancel()
    with pytest.raises(JobCancelled):
        job.wait()
    assert not fal.requests
    fal.wait_for(lambda: not list(tmp_path.glob("kling_nb-fit-*")))


def test_a_clip_that_changes_before_it_is_converted_is_not_sent(
    fal: ScriptedFal, session: Session, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "long.mp4", frames=24, fps=2)
    request = session.request("it waves", video_url=clip, fit="pad", **MOTION)
    make_clip(clip, frames=25, fps=2)
    (file,) = request.files.values()
    with pytest.raises(MediaInputError, match="has changed since the request was made"):
        session.generate("it waves", video_url=file, **MOTION)
    assert not fal.accepted


def test_an_image_that_was_accepted_before_the_limit_was_known_is_shown(
    fal: ScriptedFal, session: Session
) -> None:
    """The take of an earlier release has the same fingerprint, and is reused without a look at the limits."""
    request = session.request("a cat", endpoint="o1-image", image=png((200, 200)))
    assert session.generate("a cat", endpoint="o1-image", image=png((400, 400))) is not None
    (take,) = session._connections.media(session.settings().media).takes(
        session.request("a cat", endpoint="o1-image", image=png((400, 400))).fingerprint
    )
    sidecar = take.path.with_suffix(".json")
    sidecar.write_text(sidecar.read_text().replace(take.sidecar.fingerprint, request.fingerprint))
    assert session.plan("a cat", endpoint="o1-image", image=png((200, 200))).outcome is Outcome.REUSE
    with pytest.raises(MediaInputError):
        session.plan("a cat", endpoint="o1-image", image=png((200, 200)), new=True)


def test_an_image_in_its_old_form_is_shown_with_the_reason_and_not_bought_again(
    fal: ScriptedFal, session: Session
) -> None:
    image = Image.new("RGB", (600, 400), "teal")
    assert session.generate("a cat", endpoint="v1-standard-image", image=image) is not None
    turned = image.copy()
    turned.getexif()[0x0112] = 6
    plan = session.plan("a cat", endpoint="v1-standard-image", image=turned)
    assert plan.outcome is Outcome.REUSE
    assert "Made by an earlier version" in plan.about_earlier
    assert session.submit("a cat", endpoint="v1-standard-image", image=turned).reused
    assert session.plan("a cat", endpoint="v1-standard-image", image=turned, new=True).submits
    assert len(fal.accepted) == 1


# -- the catalogue


def test_an_endpoint_without_a_schema_fetches_it_at_its_first_use(fal: ScriptedFal, session: Session) -> None:
    assert session.endpoint("v4", fetch=False).parameters == ()
    assert not fal.requests
    plan = session.plan("a cat", endpoint="v4", duration=10, resolution="720p")
    assert (plan.request.endpoint.short_name, plan.request.endpoint.title) == (
        "v4",
        "Kling 4.0 Text to Video",
    )
    assert plan.estimate == pytest.approx(1.57)
    assert session.plan("a cat", endpoint=V4).estimate == pytest.approx(1.175)
    video = session.generate("a cat", endpoint="v4")
    assert video is not None
    assert fal.accepted[0].endpoint_id == V4
    assert (fal.count("openapi"), len(session.endpoints())) == (1, 85)
    assert [len(one.parameters) for one in session.endpoints("kling/v4/text-to-video")] == [3]


def test_an_endpoint_without_a_schema_says_so_if_fal_is_away(fal: ScriptedFal, session: Session) -> None:
    with (
        fal.refusing(),
        pytest.raises(UnknownEndpoint, match='The schema of "kling/v4/text-to-video" does not'),
    ):
        session.plan("a cat", endpoint="v4")


def test_a_choice_that_fal_added_is_not_refused(fal: ScriptedFal, session: Session) -> None:
    scenes = {"type": "string", "enum": ["hug", "brand_new"]}
    taken = {"required": ["effect_scene"], "properties": {"effect_scene": scenes}}
    fal.platform.openapi[EFFECTS] = document(EFFECTS, taken, {"properties": {}})
    plan = session.plan(endpoint="v1.6-pro-effects", effect_scene="brand_new")
    assert plan.request.input == {"effect_scene": "brand_new"}
    assert plan.request.endpoint.short_name == "v1.6-pro-effects"
    assert session.plan(endpoint="v1.6-pro-effects", effect_scene="korean_baseball").submits
    with pytest.raises(InputError, match="effect_scene must be") as caught:
        session.plan(endpoint="v1.6-pro-effects", effect_scene="hugg")
    assert "Nearest: hug." in caught.value.remedy
    assert fal.count("openapi") == 1


def test_a_result_without_its_video_is_named_as_such(fal: ScriptedFal, session: Session) -> None:
    fal.script = Script([Done(output={"video": None, "seed": 3})])
    with pytest.raises(MediaError, match='"video": null'):
        session.generate("a cat")
