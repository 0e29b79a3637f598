"""No name that comes from outside leads out of the media folder."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.bench import Bench
from hostile import HOSTILE
from scripted import Done, Run, Script, ScriptedFal, sample_mp4

from kling_nb.catalog import DEFAULT_ENDPOINT
from kling_nb.errors import KlingError, UsageError
from kling_nb.notebook.flags import parse_line

NAMES = [
    "../../../outside.mp4",
    "..\\..\\outside.mp4",
    "/tmp/outside.mp4",
    "C:\\outside.mp4",
    "a/../../outside.mp4",
    "%2e%2e%2foutside.mp4",
    "..",
    ".",
    "",
    "con.mp4",
    "outside.mp4\0.txt",
    "x" * 5000 + ".mp4",
    ".hidden",
    "name\nwith\nlines.mp4",
]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path / "deep" / "er" / "bench") as bench:
        yield bench


def outside(tmp_path: Path, media: Path) -> set[Path]:
    """Files that are neither in the media folder nor in the home folder."""
    here = {path for path in tmp_path.rglob("*") if path.is_file()}
    return {path for path in here if media not in path.parents and "home" not in path.parts}


def output(fal: ScriptedFal, name: str) -> dict[str, Any]:
    url = fal.cdn.put("plain.mp4", sample_mp4(), "video/mp4")
    more = fal.cdn.put("more.wav", b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "audio/wav")
    return {"video": {"url": url, "file_name": name}, name or "empty": {"url": more, "file_name": name}}


def test_file_names_of_a_result(bench: Bench, tmp_path: Path) -> None:
    media = bench.folder / "media"
    for number, name in enumerate(NAMES):
        bench.fal.script = Script([Run(), Done(output=output(bench.fal, name))])
        job = bench.session().submit(f"take {number}")
        job.wait(20)
        assert job.file is not None
        for path in (job.file, *job.files.values()):
            assert path.resolve().parent == media.resolve(), name
    assert not outside(tmp_path, media)


def test_prompts_as_file_names(bench: Bench, tmp_path: Path) -> None:
    media = bench.folder / "media"
    for prompt in [*NAMES, *HOSTILE[-8:]]:
        try:
            job = bench.session().submit(prompt[:2000])
        except KlingError:
            continue  # an empty prompt
        job.wait(20)
        assert job.file is not None
        assert job.file.resolve().parent == media.resolve(), prompt
        assert len(job.file.name) < 120
    assert not outside(tmp_path, media)


def test_a_sidecar_that_names_another_file_gives_nothing(bench: Bench, tmp_path: Path) -> None:
    media = bench.folder / "media"
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(sample_mp4())
    job = bench.session().submit("a cat")
    job.wait(20)
    (sidecar,) = media.glob("*.json")
    reported = json.loads(sidecar.read_bytes())
    for name in ("../../../../secret.mp4", str(secret), "..\\secret.mp4"):
        sidecar.write_text(json.dumps({**reported, "file": name}), encoding="utf-8")
        again = bench.session().plan("a cat")
        found = again.found.path if again.found else None
        assert found is None or found.parent == media


@pytest.mark.parametrize("name", ["../cat", "a/b", "a.b", "a b", "1a", "import", "a;b", "a=1", "__class__.x"])
def test_a_name_of_the_magic_is_a_plain_variable(name: str) -> None:
    with pytest.raises(UsageError):
        parse_line(f'"{name}"', default_endpoint=DEFAULT_ENDPOINT)


def test_an_upload_tells_fal_no_path(bench: Bench, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "private folder"
    folder.mkdir()
    buffer = io.BytesIO()
    Image.new("RGB", (320, 320), "orange").save(buffer, "JPEG")
    picture = folder / "my cat.jpg"
    picture.write_bytes(buffer.getvalue())
    bench.session().submit("a cat", image=picture).wait(20)
    for record in bench.fal.requests:
        assert b"private" not in record.body
        assert "private" not in record.target
