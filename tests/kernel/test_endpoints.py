"""Endpoints in a notebook: the table, live schemas, pictures, and results that are no video."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_environment import pointed_at
from live_documents import CHOIR, GOAT, ID, SPEECH
from PIL import Image
from running_kernel import RunningKernel
from scripted import Done, Script, ScriptedFal, sample_mp4

pytestmark = pytest.mark.kernel

SOUND = b"ID3" + bytes(200)


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedFal]:
    with ScriptedFal() as fal:
        fal.platform.openapi |= {ID: GOAT, SPEECH: CHOIR}
        fal.queue.apps |= {"alibaba/lucky-goat", "someone/choir"}
        yield fal


@pytest.fixture(scope="module")
def shared(server: ScriptedFal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKernel]:
    folder = tmp_path_factory.mktemp("work")
    for name, colour in (("cat.png", "red"), ("dog.png", "blue")):
        Image.new("RGB", (32, 32), colour).save(folder / name)
    with RunningKernel(folder, **pointed_at(server, folder / "home")) as running:
        running.ok("%load_ext kling_nb")
        yield running


def refusal(kernel: RunningKernel, code: str) -> str:
    cell = kernel.run(code)
    assert not cell.ok, cell.text
    assert len(cell.message.splitlines()) <= 4
    return cell.message


def test_the_table_has_parameters_and_dated_prices(shared: RunningKernel) -> None:
    (shown,) = shared.ok("%kling endpoints v3 4k").displays
    text, html = shown["text/plain"], shown["text/html"]
    for form in (text, html):
        for word in ("v3-4k", "v3-4k-image", "$0.42/s (2026-07-28)", "aspect_ratio=16:9|9:16|1:1"):
            assert word in form
    assert "start_image_url*" in text
    assert "<strong>start_image_url*</strong>" in html
    (shown,) = shared.ok("%kling endpoints v3").displays
    assert "$0.168/s (undated)" in shown["text/html"]
    (shown,) = shared.ok("%kling endpoints").displays
    assert shown["text/html"].count("<tr") == 86
    assert len(shown["text/plain"].splitlines()) == 88  # head, rows, foot, a notice


def test_any_other_endpoint_by_its_live_schema(shared: RunningKernel, server: ScriptedFal) -> None:
    assert "Lucky goat" in shared.ok(f"%kling use {ID}").text
    assert "--end-frame-url" in shared.value("get_ipython().find_cell_magic('kling').__doc__")
    camera = '--set camera=\'{"move": "pan"}\''
    shared.ok(f"%%kling goat --image cat.png --end-image dog.png --duration 3 {camera}\nit jumps")
    sent = server.accepted[-1]
    assert (sent.endpoint_id, sent.input["duration"], sent.input["camera"]) == (ID, 3, {"move": "pan"})
    assert sent.input["image_url"] != sent.input["end_frame_url"]
    assert shared.value("goat.width") == "64"
    assert "camera.move must be" in refusal(shared, "%%kling --image cat.png --camera '{\"move\": 3}'\nx")
    shared.ok("%kling use v1-pro")
    (shown,) = shared.ok(f"%kling endpoints --refresh {ID}").displays
    assert "Lucky goat image to video (schema of 20" in shown["text/plain"]
    (shown,) = shared.ok("%kling endpoints goat").displays
    assert ID in shown["text/html"]


def test_an_id_that_does_not_exist(shared: RunningKernel) -> None:
    for code in (
        "%%kling --endpoint nobody/nothing\nx",
        "%kling use nobody/nothing",
        "%kling endpoints nobody/nothing",
    ):
        message = refusal(shared, code)
        assert "does not come with kling_nb" in message
        assert "fal knows no endpoint of that id" in message


def test_an_image_selects_the_counterpart_and_the_cell_shows_it(
    shared: RunningKernel, server: ScriptedFal
) -> None:
    cell = shared.ok("%%kling --endpoint v3-pro --image cat.png --end-image dog.png\nit stretches")
    sent = server.accepted[-1]
    assert sent.endpoint_id == "fal-ai/kling-video/v3/pro/image-to-video"
    assert set(sent.input) == {"prompt", "start_image_url", "end_image_url"}
    assert "v3-pro-image is used instead" in cell.html()
    dry = shared.ok("%%kling --endpoint v1-pro --image cat.png --dry-run\nit stretches").text
    assert "v1-pro takes no image; v1-pro-image is used instead." in dry


def test_an_end_image_where_there_is_no_place_for_one(shared: RunningKernel) -> None:
    message = refusal(shared, "%%kling --endpoint v2-master --image cat.png --end-image dog.png\nx")
    assert "v2-master-image takes no end image" in message
    assert "v3-pro-image" in message


def test_shots_instead_of_a_prompt(shared: RunningKernel, server: ScriptedFal) -> None:
    shots = '[{"prompt": "a cat", "duration": 3}, {"prompt": "a dog"}]'
    shared.ok(f"%%kling --endpoint v3-pro --set multi_prompt='{shots}'\n\n")
    assert server.accepted[-1].input == {
        "multi_prompt": [{"prompt": "a cat", "duration": "3"}, {"prompt": "a dog"}]
    }
    message = refusal(
        shared, '%%kling --endpoint v3-pro --set multi_prompt=\'[{"prompt": "a", "duration": 99}]\'\n\n'
    )
    assert "multi_prompt.0.duration" in message
    assert "exclude each other" in refusal(
        shared, f"%%kling --endpoint v3-pro --set multi_prompt='{shots}'\nand a prompt"
    )


def test_speech_gives_audio(shared: RunningKernel, server: ScriptedFal, tmp_path: Path) -> None:
    url = server.cdn.put("speech.mp3", SOUND, "audio/mpeg")
    server.script = Script([Done(output={"audio": {"url": url}})])
    cell = shared.ok("%%kling text_shown --endpoint tts\nGood evening")
    assert "<audio src=" in cell.html()
    assert "controls" in cell.html()
    assert (
        shared.value("type(text_shown).__name__, text_shown.kind, text_shown.content_type")
        == "MediaFile audio audio/mpeg"
    )
    assert (
        shared.value(f"text_shown.save({str(tmp_path / 'copy.mp3')!r}).read_bytes() == text_shown.read()")
        == "True"
    )
    again = shared.ok("text_shown")
    assert "<audio src=" in again.html()
    assert "already made, free" in shared.ok("%%kling text_shown --endpoint tts\nGood evening").html()


def test_try_on_gives_an_image_that_can_be_used_again(shared: RunningKernel, server: ScriptedFal) -> None:
    picture = Path(shared.value("__import__('os').path.abspath('cat.png')")).read_bytes()
    url = server.cdn.put("worn.png", picture, "image/png")
    server.script = Script([Done(output={"image": {"url": url}})])
    cell = shared.ok(
        "%%kling worn --endpoint try-on --human-image-url cat.png --garment-image-url dog.png\n\n"
    )
    assert '<img src="kling_media/' in cell.html()
    assert shared.value("worn.kind") == "image"
    server.script = Script([Done()])
    shared.ok("%%kling --image worn\nshe walks")
    assert server.cdn.get(server.accepted[-1].input["image_url"]).data == picture


def test_a_voice_gives_data(shared: RunningKernel, server: ScriptedFal) -> None:
    server.script = Script([Done(output={"voice_id": "v-<1>"})])
    line = "%%kling voice --endpoint create-voice --voice-url https://example.com/me.mp3\n\n"
    cell = shared.ok(line)
    assert "v-&lt;1&gt;" in cell.html()
    assert json.loads(shared.value("__import__('json').dumps(voice)")) == {"voice_id": "v-<1>"}
    shared.ok("del voice")
    shared.ok(line)
    assert shared.value("voice") == "{'voice_id': 'v-<1>'}"


def test_a_video_with_its_audio_next_to_it(shared: RunningKernel, server: ScriptedFal) -> None:
    url = server.cdn.put("new.mp3", SOUND, "audio/mpeg")
    video = {"url": server.cdn.put("new.mp4", sample_mp4(), "video/mp4")}
    server.script = Script([Done(output={"video": video, "audio": {"url": url}})])
    cell = shared.ok("%%kling both --endpoint video-to-audio --video-url https://example.com/a.mp4\n\n")
    assert "<video " in cell.html()
    assert ".audio.mp3" in cell.html()
    path = Path(shared.value("both.path"))
    assert path.with_name(f"{path.stem}.audio.mp3").read_bytes() == SOUND
