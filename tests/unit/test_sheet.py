"""Contact sheets: one file that shows what was made, and nothing that a prompt could smuggle in."""

import asyncio
import base64
import re
from html import escape
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import clip_bytes, colourful, in_chunks, make_clip
from PIL import Image

import kling_nb
from kling_nb.cli import main
from kling_nb.errors import UsageError
from kling_nb.media import MediaFolder, TakeDraft
from kling_nb.notebook.card.sheet import sheet

HOSTILE = '"><script>alert(1)</script>'


def store(folder: Path, prompt: str, data: bytes) -> Any:
    draft = TakeDraft(
        fingerprint=f"{prompt[:5]:x>64}",
        take=None,
        endpoint="fal-ai/kling-video/v1/pro/text-to-video",
        input={"prompt": prompt, "aspect_ratio": "1:1"},
        prompt=prompt,
        backend="fal",
        request_id=prompt,
        url="",
        kind="video",
    )
    return asyncio.run(MediaFolder(folder).store(in_chunks(data), draft)).video()


@pytest.fixture
def takes(tmp_cwd: Path, home: Path) -> list[Any]:
    media = tmp_cwd / "kling_media"
    sizes = ((64, 48), (48, 64), (64, 64))
    made = [
        store(media, f"{name} {HOSTILE}", clip_bytes(frames=5, size=size, paint=colourful))
        for name, size in zip(("a fox", "a wolf", "a crow"), sizes, strict=True)
    ]
    made[0].rating, made[0].tags, made[0].note = 4, ["hero", HOSTILE], f"good {HOSTILE}"
    return made


def test_html_is_one_file_that_loads_nothing_and_has_everything(takes: list[Any], tmp_cwd: Path) -> None:
    page = sheet(takes, "sheet.html", columns=2, title=f"Selects {HOSTILE}").read_text("utf-8")
    assert page.count("<figure>") == page.count("<video") == 3
    assert page.count("<script>") == 1
    assert "alert(1)</script>" not in page
    assert "default-src 'none'" in page
    assert "repeat(2,minmax(0,1fr))" in page
    assert 'aria-label="4 of 5 stars"' in page
    assert "<li class=tag>hero</li>" in page
    assert not re.search(r"""(?:src|href|poster)="(?!data:)|url\(""", page)
    for kind, start in (("image/jpeg", b"\xff\xd8"), ("video/mp4", b"ftyp")):
        found = re.findall(rf"data:{kind};base64,([A-Za-z0-9+/=]+)", page)
        assert len(found) == 3
        assert all(start in base64.b64decode(one)[:16] for one in found)


def test_large_videos_become_small_copies_without_audio(takes: list[Any], tmp_cwd: Path) -> None:
    noise = make_clip(tmp_cwd / "large.mp4", frames=12, size=(1280, 720), paint=noisy)
    assert noise.stat().st_size > 600_000
    page = sheet([noise], "sheet.html").read_text("utf-8")
    copy = base64.b64decode(re.findall(r"data:video/mp4;base64,([A-Za-z0-9+/=]+)", page)[0])
    (tmp_cwd / "copy.mp4").write_bytes(copy)
    with av.open(str(tmp_cwd / "copy.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (640, 360)
        assert not container.streams.audio


def noisy(index: int, width: int, height: int) -> Any:
    return np.random.default_rng(index).integers(0, 255, (height, width, 3), np.uint8)


def test_png_has_a_image_for_each(takes: list[Any], tmp_cwd: Path) -> None:
    with Image.open(sheet(takes, "sheet.png", columns=3)) as image:
        assert image.width == 2 * 32 + 3 * 400 + 2 * 24
        assert len({image.getpixel((32 + 424 * n + 200, 200)) for n in range(3)}) > 1


def test_sheets_of_a_storyboard_and_from_the_command_line(
    takes: list[Any], tmp_cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = kling_nb.Storyboard(takes, [None, (0.1, None), None])
    page = sheet(board, "board.html").read_text("utf-8")
    names = [f"{number} · {take.request['input']['prompt']}" for number, take in enumerate(takes, 1)]
    assert [f">{escape(name)}</h2>" in page for name in names] == [True] * 3  # as in the live view
    assert f"<li>0.1–{takes[1].duration:g} s</li>" in page
    assert main(["sheet", "best.html", "--rating", "4"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_cwd / "best.html")
    assert (tmp_cwd / "best.html").read_text("utf-8").count("<figure>") == 1
    assert main(["sheet", "best.html", "--rating", "4"]) == 2
    assert "already" in capsys.readouterr().err
    assert main(["sheet", "best.html", "--rating", "5", "--overwrite"]) == 2
    assert "nothing to show" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("items", "path", "columns"),
    [
        ("takes", "sheet.pdf", None),
        ("takes", "a.html", 0),
        ("takes", "a.html", True),
        (3, "a.html", None),
        ([{}], "a.html", None),
        ([], "a.html", None),
    ],
)
def test_a_sheet_that_makes_no_sense(items: Any, path: str, columns: Any, takes: list[Any]) -> None:
    with pytest.raises(UsageError):
        sheet(takes if items == "takes" else items, path, columns=columns)
    assert not Path(path).exists()
