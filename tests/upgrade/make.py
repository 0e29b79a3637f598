"""Make `project-21fcdc9`: made once, by the code of commit 21fcdc9, and never made again by newer code.

The folder is what a user of that commit has on disk. `test_rerun.py` runs it with the code of today. Made by
newer code it would only show that today agrees with itself, so where a change does not pass that test, the
change is at fault.

To see how it was made: in a checkout of 21fcdc9 into which this folder was copied, without the project,

    PYTHONPATH=.:tests python -m upgrade.make

It plays fal with the scripted server, and runs real kernels, one for each notebook; two are killed with a job
under way. Notebooks and ledger have the words of `PLACES` where the machine would show. Media, sidecars and
schemas are as the package wrote them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from io import StringIO
from pathlib import Path
from typing import Any

from clips import clip_bytes
from kernel_environment import pointed_at
from live_documents import document, file
from PIL import Image, ImageDraw
from running_kernel import Cell, RunningKernel
from scripted import Done, Fail, Hold, Log, Queue, Run, Script, ScriptedFal
from scripted.queue_api import Scripts

from upgrade.outputs import read_outputs

COMMIT = "21fcdc9"
HERE = Path(__file__).resolve().parent
TARGET = HERE / f"project-{COMMIT}"
PLACES = ("@PROJECT@", "@FAL@", "@CDN@", "@OWNER@")
"""Stand for the folder of the project, both origins of the scripted server, and a process that has ended."""

NO_CODE = {"_esm": "export default {}", "_css": ""}
"""In the place of a widget's own code: a saved notebook holds it whole, and nothing depends on it."""

REEL = "someone/reel/text-to-video"
DESCRIPTION = document(
    REEL,
    {
        "required": ["prompt"],
        "properties": {
            "prompt": {"type": "string"},
            "seconds": {"type": "integer", "enum": [4, 8], "default": 4},
            "camera": {"$ref": "#/components/schemas/Camera"},
        },
    },
    {"properties": {"video": {"$ref": "#/components/schemas/File"}}},
    Camera={
        "type": "object",
        "properties": {"move": {"type": "string"}, "by": {"type": "number", "default": 1.0}},
    },
    File=file("File"),
)
SOUND = b"ID3" + bytes(97)
ODD = {"loc": ["body", "prompt"], "msg": "too odd", "type": "value_error"}

SETUP = "%load_ext kling_nb\nimport json, kling_nb"
TELL = """def tell(*made):
    for one in made:
        if isinstance(one, kling_nb.Job):
            one.wait()
            print(one.request.fingerprint, one.request_id, one.file.name)
        else:
            sidecar = json.loads(one.path.with_suffix(".json").read_text("utf-8"))
            print(sidecar["fingerprint"], one.request_id, one.path.name)"""


@dataclass(frozen=True)
class Ask:
    """A cell, and how it ends.

    Attributes:
        source: As it stands in the notebook.
        script: Of its job, where it is not a clip of its own.
        fails: Whether it raises.
        saved: Whether the notebook keeps its output.
        forgotten: Whether fal forgets its job while it is followed.
    """

    source: str
    script: Script | None = None
    fails: bool = False
    saved: bool = False
    forgotten: bool = False


FILM = (
    Ask(SETUP),
    Ask(TELL),
    Ask("animal, price, ratio = 'fox', 5, 0.5\nred = 'scarlet'"),
    Ask("%%kling first\na {animal} at dawn", saved=True),
    Ask("%%kling --duration 5 --aspect-ratio=16:9 --priority low\na fox at dawn\n\n"),
    Ask("%%kling second --take 2\na {animal} at dawn"),
    Ask(
        "%%time\n%%kling timed\n"
        "$animal pays $5 for {price} apples, $5.50 for {price * 2} and $$5 for {{these}}, {animal!r}"
    ),
    Ask("%%kling\nIt costs $5.00 and {{nothing}} is filled in where {no_such_name} stands"),
    Ask("%%kling\nThe fox's coat is $animal red, isn't it? $animal's {ratio:.2f}"),
    Ask("%%kling --aspect-ratio 9:16\r\nTwo lines\r\nthat end in CR LF  \r\n\r\n"),
    Ask(
        '%%kling --endpoint v1.6-pro --duration 10 --negative-prompt "blur, $animal tails, {animal}s, $5"'
        " --cfg-scale 0.50\n\n   A meadow,\n\n\twith a tab  \n  and spaces at its end   \n\n\n  "
    ),
    Ask(
        "%%kling --endpoint v2.6-pro --no-generate-audio --tag project=reel-7 --hint a --no-store"
        " --max-cost none\n"
        "\u00a0Cafe\u0301 and caf\u00e9, \u9dfa \U0001fab6\u2028a line of its own\u3000"
    ),
    Ask("%%kling --image turned.jpg\nit turns its head"),
    Ask("%%kling --endpoint v1.6-pro --image badge.png --end-image turned.jpg\nfrom one to the other"),
    Ask("%%kling --image first.last_frame\nit walks on, {animal}"),
    Ask(
        '%%kling --endpoint o1-reference --set elements=\'[{"frontal_image_url": "badge.png",'
        ' "reference_image_urls": ["turned.jpg"]}]\'\n@Element1 waves, {{not}} filled in'
    ),
    Ask(
        '%%kling --endpoint v3-pro --multi-prompt \'[{"prompt": "Rain on a {animal}", "duration": "3"},'
        ' {"prompt": "It costs $5", "duration": 2}]\''
    ),
    Ask('%%kling nested --endpoint v3-pro --quiet --set multi_prompt=\'[{"prompt": "One {animal}"}]\'\n'),
    Ask("tell(nested)"),
    Ask(
        "%%kling --endpoint v1-standard --camera-control=forward_up"
        " --set negative_prompt='\"no {animal} for $5\"'"
        ' --set advanced_camera_control=\'{"movement_type": "zoom", "movement_value": 3}\'\nA slow zoom'
    ),
    Ask(
        "%%kling pair --grid duration=5,10 --concurrency 2\nA {calm|wild {animal}} sea for ${price}",
        saved=True,
    ),
    Ask("tell(*pair.videos)"),
    Ask("%%kling --grid image=turned.jpg,badge.png\nit moves"),
    Ask("%%kling --endpoint tts --voice-speed 1.20\nGood morning, $animal."),
    Ask("%%kling voice --endpoint create-voice --voice-url https://example.com/a%20voice.wav\n"),
    Ask(f'%%kling --endpoint {REEL} --set camera=\'{{"move": "pan"}}\'\nany other endpoint of fal'),
    Ask("%%kling lost\na lost reel", saved=True),
    Ask("%%kling\na reel whose sidecar stayed"),
    Ask("%%kling\nthe best of all {price}", saved=True),
    Ask("%%kling\na letter that never arrived", fails=True, saved=True),
    Ask("%%kling --image turned.jpg\na parcel that was lost on the way", fails=True),
)
VOYAGE = Ask("%%kling voyage\na long voyage, {price} weeks", saved=True)
BOTTLE = Ask("%%kling\na message in a bottle\nfor ${price}")

CALLS = (
    Ask(SETUP),
    Ask(TELL),
    Ask("from pathlib import Path\nimport numpy\nfrom PIL import Image"),
    Ask(
        "video = kling_nb.generate('  $5 and {braces}, as they stand \\r\\n', duration=10)\n"
        "tell(video)\nvideo"
    ),
    Ask(
        "tell(kling_nb.submit('  $5 and {braces}, as they stand \\r\\n', duration='10', aspect_ratio='16:9'))"
    ),
    Ask("one = await kling_nb.submit('it looks up', image='turned.jpg')\ntell(one)"),
    Ask(
        "with open('turned.jpg', 'rb') as file:\n"
        "    tell(kling_nb.submit('it looks up', image=file))\n"
        "tell(kling_nb.submit('it looks up', image=Path('turned.jpg')),\n"
        "     kling_nb.submit('it looks up', image=Path('turned.jpg').read_bytes()))"
    ),
    Ask("tell(kling_nb.submit('it looks up', image=Image.open('turned.jpg')))"),
    Ask("tell(kling_nb.submit('it looks up', image=Image.open('badge.png'), endpoint='v1.6-pro'))"),
    Ask(
        "grey = (numpy.arange(320 * 320).reshape(320, 320) % 256).astype('uint8')\n"
        "tell(kling_nb.submit('it looks up', image=grey, end_image='badge.png', endpoint='v1.6-pro'))"
    ),
    Ask(
        "tell(kling_nb.submit(endpoint='v3-pro-image', start_image_url='https://example.com/a.png',\n"
        "    elements=[{'frontal_image_url': Path('badge.png'), 'reference_image_urls': ['turned.jpg']}],\n"
        "    multi_prompt=[{'prompt': '@Element1 waves'}, {'prompt': 'and leaves', 'duration': 3}],\n"
        "    cfg_scale=1.0))"
    ),
    Ask(
        "study = kling_nb.sweep(['a wolf', 'an owl'], aspect_ratio='1:1').wait()\n"
        "tell(*(cell.job for cell in study))\nstudy"
    ),
    Ask(
        "both = kling_nb.sweep(lambda values: f\"an owl for {values['duration']} s\", duration=[5, 10])\n"
        "tell(*both.wait().videos)"
    ),
    Ask(
        "with kling_nb.Session(endpoint='v1-standard') as session:\n"
        "    tell(session.generate('a windmill', cfg_scale=0.7))"
    ),
    Ask("tell(kling_nb.get_job(video.request_id))"),
    Ask(
        "board = kling_nb.Storyboard(study.videos)\nfilm = board.join()\n"
        "print(film.path.name, film.duration)\nboard",
        saved=True,
    ),
    Ask("kling_nb.submit('a wolf', aspect_ratio='1:1', duration=5)"),
    Ask(
        "tell(kling_nb.submit('A fox for 5\\nin the snow', endpoint='v3-pro', duration='3',\n"
        "    aspect_ratio='1:1', generate_audio=False, backend='local'))"
    ),
)

ENDED = (
    Ask(SETUP),
    Ask("%%kling\nan odd thing", script=Script([Fail.refused(ODD)]), fails=True, saved=True),
    Ask("%%kling raft --no-wait\na raft", script=Script([Queue(3), Hold(), Done()]), saved=True),
    Ask("raft.cancel()"),
    Ask(
        "%%kling\na reel that fal forgot", script=Script([Run(), Hold(), Done()]), fails=True, forgotten=True
    ),
)

PREVIEWS = (
    Ask(SETUP),
    Ask("%kling local\nanimal = 'fox'"),
    Ask(
        "%%kling preview --endpoint v3-pro --duration 3 --no-generate-audio --aspect-ratio 1:1\n"
        "A {animal} for $5\nin the snow  \n",
        saved=True,
    ),
    Ask(
        "%%kling --endpoint try-on --set human_image_url='\"turned.jpg\"'"
        " --set garment_image_url='\"badge.png\"'"
    ),
    Ask("%%kling\na {animal} at dawn"),
)


@dataclass
class Clips(Scripts):
    """Gives each job a clip of its own: files with the same bytes could stand in for each other."""

    made: int = field(default=0)

    def take(self, endpoint_id: str) -> Script:
        if self.queue or endpoint_id in self.of_endpoint:
            return super().take(endpoint_id)
        self.made += 1
        return Script([Queue(0), Run(), Log("Sampling 10%"), Done(video=clip(self.made))])


def main() -> None:
    """Make it, unless it is there."""
    if TARGET.exists():
        sys.exit(f"{TARGET.name} is there: it is never made again")
    if subprocess.run(
        ["git", "diff", "--quiet", COMMIT, "--", "kling_nb"], cwd=HERE.parents[1], check=False
    ).returncode:
        sys.exit(f"this is not the code of {COMMIT}")
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder).resolve() / "reel")


def make(project: Path) -> None:
    """Run all notebooks in `project`, and keep what they leave."""
    project.mkdir()
    draw_pictures(project)
    with ScriptedFal() as fal:
        fal.platform.openapi[REEL] = DESCRIPTION
        fal.queue.apps.add("someone/reel")
        fal.queue.scripts = Clips()
        sound = {"url": fal.cdn.put("speech.mp3", SOUND, "audio/mpeg"), "content_type": "audio/mpeg"}
        other = {"v1/tts": {"audio": sound}, "create-voice": {"voice_id": "voice-1"}}
        for name, output in other.items():
            script = Script([Queue(0), Run(), Done(output=output)])
            fal.scripts.of_endpoint[f"fal-ai/kling-video/{name}"] = script
        os.environ.update(pointed_at(fal, project / "home"))
        os.environ.update(
            KLING_NB_LOCAL_SPEED="inf", KLING_NB_LOCAL_SCALE="0.2", KLING_NB_SERVER_ROOT=str(project)
        )
        os.chdir(project)
        cells = {"film": run_film(project, fal)}
        for name, asks in (("previews", PREVIEWS), ("ended", ENDED), ("calls", CALLS)):
            with RunningKernel(project) as kernel:
                cells[name] = [run(kernel, fal, ask) for ask in asks]
                save(project / f"{name}.ipynb", asks, cells[name], kernel)
        change_files(project)
        keep(project, fal, cells)


def run_film(project: Path, fal: ScriptedFal) -> list[Cell]:
    """Run the notebook of `%%kling` cells. Two kernels die in it, with a job each."""
    with RunningKernel(project) as kernel:
        cells = []
        for ask in FILM:
            if ask.fails:  # the letter is not accepted, the parcel is; no answer comes of either
                fal.fault("submit", "reset", at="before_body" if "letter" in ask.source else "after_body")
                fal.fault("lookup", "no_items", times=None)
            cells.append(run(kernel, fal, ask))
            fal.clear_faults()
        steps = [Queue(1), Run(), Log("Sampling 10%"), Hold(), Log("Sampling 60%"), Done(video=clip(800))]
        fal.scripts.queue.append(Script(steps))
        voyage = kernel.start(VOYAGE.source)
        kernel.wait_until(lambda: voyage.displays and "IN_PROGRESS" in states(project))
        cells.append(voyage)
        kernel.kill()
        unseen = Cell("killed before it had an output")
        save(project / "film.ipynb", [*FILM, VOYAGE, BOTTLE], [*cells, unseen], kernel)
        kernel.restart()
        for ask in FILM[:3]:
            kernel.ok(ask.source)
        hold = fal.fault("submit", "stall", at="after_body")
        accepted = len(fal.accepted)
        kernel.start(BOTTLE.source)
        fal.wait_for(lambda: len(fal.accepted) > accepted)
        kernel.kill()
        hold.release()
    return [*cells, unseen]


def run(kernel: RunningKernel, fal: ScriptedFal, ask: Ask) -> Cell:
    """Run one cell, which must end as it says."""
    if ask.script is not None:
        fal.scripts.queue.append(ask.script)
    cell = kernel.start(ask.source)
    if ask.forgotten:
        fal.wait_for(lambda: fal.accepted[-1].input["prompt"] in ask.source)
        fal.jobs[-1].forget()
    kernel.finish(cell)
    assert cell.ok is not ask.fails, cell.message or ask.source
    return cell


def draw_pictures(project: Path) -> None:
    """Draw a JPEG that its EXIF turns, and a PNG that one can see through."""
    picture = Image.linear_gradient("L").resize((340, 300)).convert("RGB")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.save(project / "turned.jpg", exif=turned, quality=20)
    badge = Image.new("RGBA", (320, 320), (0, 0, 0, 0))
    ImageDraw.Draw(badge).ellipse((40, 40, 280, 280), (200, 30, 30, 128))
    badge.save(project / "badge.png", optimize=True)


def clip(number: int) -> bytes:
    """Return a clip like no other: two frames, and a box that players pass over."""
    mark = f"clip {number:03}".encode()
    plain = clip_bytes(frames=2, fps=8, size=(16, 16), codec="mpeg4")
    return plain + (8 + len(mark)).to_bytes(4, "big") + b"free" + mark


# -- the notebooks


def save(path: Path, asks: Sequence[Ask], cells: Sequence[Cell], kernel: RunningKernel) -> None:
    """Write a notebook as JupyterLab saves one while its kernel runs, with the outputs that are kept."""
    code = []
    for number, (ask, cell) in enumerate(zip(asks, cells, strict=True)):
        about = {"cell_type": "code", "execution_count": None, "id": f"cell-{number:02}"}
        tags = {"tags": ["raises-exception"]} if ask.fails else {}
        kept = saved_outputs(cell) if ask.saved else []
        code.append({**about, "metadata": tags, "outputs": kept, "source": ask.source})
    models = {name: state for name, state in kernel.comms.items() if name in json.dumps(code)}
    layouts = re.findall(r"IPY_MODEL_(\w+)", json.dumps(models))
    models |= {name: kernel.comms[name] for name in layouts}
    states = {name: model_of(state) for name, state in models.items()}
    held = {"version_major": 2, "version_minor": 0, "state": states}
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "widgets": {"application/vnd.jupyter.widget-state+json": held},
    }
    write(path, {"cells": code, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def model_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a widget's model as notebooks hold it."""
    kept = {name: NO_CODE.get(name, value) for name, value in state.items()}
    names = ("name", "module", "module_version")
    return {f"model_{name}": state[f"_model_{name}"] for name in names} | {"state": kept}


def saved_outputs(cell: Cell) -> list[dict[str, Any]]:
    """Return what a cell gave in the form of nbformat."""
    found: list[dict[str, Any]] = []
    if cell.text:
        found.append({"output_type": "stream", "name": "stdout", "text": cell.text})
    for data, metadata in zip(cell.displays, cell.metadata, strict=True):
        found.append({"output_type": "display_data", "data": data, "metadata": metadata})
    if cell.error:
        found.append({"output_type": "error", **cell.error})
    return found


def change_files(project: Path) -> None:
    """Do what users do: two reels are deleted, one with its sidecar, and the best has a name and a folder."""
    media = project / "kling_media"
    for path in [*media.glob("a-lost-reel-*"), *media.glob("a-reel-whose-sidecar-stayed-*.mp4")]:
        path.unlink()
    (media / "best").mkdir()
    for path in list(media.glob("the-best-of-all-*")):
        path.rename(media / "best" / f"the fox & more{path.suffix}")


# -- what is kept


def keep(project: Path, fal: ScriptedFal, cells: Mapping[str, Sequence[Cell]]) -> None:
    """Copy it all to the repository, with words in the place of what is this machine's."""
    places = {str(project): "@PROJECT@", fal.url: "@FAL@", fal.media_url: "@CDN@"} | owners(project)
    reports = {f"{name}.ipynb": verify(f"{name}.ipynb") for name in cells}
    shutil.copytree(project, TARGET, ignore=shutil.ignore_patterns("ledger.sqlite3*", "*.lock", ".*"))
    for path in TARGET.glob("*.ipynb"):
        path.write_bytes(put_words(path.read_text("utf-8"), places).encode())
    (TARGET / "home" / "ledger.sql").write_bytes(put_words(dump(project), places).encode())
    fetched = keep_files(project, fal, places)
    shows = {
        f"{name}.ipynb": [read_outputs(saved_outputs(cell)) for cell in made] for name, made in cells.items()
    }
    complete(shows["film.ipynb"], project, fal)
    lines = ",\n".join(
        f"  {json.dumps(name)}: [\n" + ",\n".join(f"   {json.dumps(one)}" for one in cells_) + "\n  ]"
        for name, cells_ in shows.items()
    )
    verified = json.dumps(reports)
    text = f'{{\n "cells": {{\n{lines}\n }},\n "fetched": {json.dumps(fetched)},\n "verify": {verified}\n}}\n'
    (TARGET / "expected.json").write_text(text, "utf-8")


def keep_files(project: Path, fal: ScriptedFal, places: Mapping[str, str]) -> dict[str, str]:
    """Keep what fal is asked for when all is run again; gives the file of each such request."""
    (TARGET / "cdn").mkdir()
    jobs, paths, fetched = [], {}, {}
    for job in (fal.job(request.request_id) for request in fal.accepted):
        asked = job.input.get("prompt", "")
        name = f"{job.request_id[-4:]}.mp4"
        missing = asked.startswith(("a lost reel", "a reel whose"))
        under_way = asked.startswith(("a parcel", "a long voyage", "a message"))
        if missing or under_way:
            fetched[job.request_id] = name
            (TARGET / "cdn" / name).write_bytes(job.script.steps[-1].video)
        if missing:
            (row,) = (row for row in rows(project) if row["request_id"] == job.request_id)
            paths[json.loads(row["result"])["video"]["url"].removeprefix(fal.media_url)] = name
        if under_way or asked == "a fox at dawn":  # whose request must not be taken for another's
            sent = job.submission
            about = {"request_id": job.request_id, "endpoint_id": sent.endpoint_id, "input": sent.input}
            jobs.append({**about, "at": sent.at.isoformat(), "file": name if under_way else None})
    text = json.dumps({"jobs": jobs, "files": paths}, ensure_ascii=False, indent=1)
    (TARGET / "fal.json").write_text(put_words(text, places) + "\n", "utf-8")
    return fetched


def complete(shows: list[dict[str, list[str]]], project: Path, fal: ScriptedFal) -> None:
    """Fill in what cells must show if a job ended after its kernel, or if a file was moved since."""
    ends = {str(job.input.get("prompt")): job.request_id for job in fal.jobs}
    for at, prompt in ((-1, "a message in a bottle\nfor $5"), (-2, "a long voyage, 5 weeks")):
        (row,) = (row for row in rows(project) if row["prompt"] == prompt)
        shows[at] |= {"fingerprints": [row["fingerprint"]], "requests": [ends[prompt]]}
    shows[-3]["requests"] = [ends["a parcel that was lost on the way"]]
    shows[-5]["files"] = ["best/the fox & more.mp4"]
    shows[-6]["files"] = []  # its new file has another name than the sidecar that stayed


def verify(name: str) -> dict[str, Any]:
    """Return what `kling-nb verify` says of each request in a notebook, and its exit status."""
    (command,) = entry_points(group="console_scripts", name="kling-nb")
    with redirect_stdout(StringIO()) as out:
        status = command.load()(["verify", name])
    found = re.findall(r"^cell +(\d+)  (\w+)", out.getvalue(), re.MULTILINE)
    return {"status": status, "requests": [[int(number), word] for number, word in found]}


def write(path: Path, value: Any) -> None:
    """Write it as JSON."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")


def put_words(text: str, places: Mapping[str, str]) -> str:
    """Return the text with the words in it."""
    for place, word in places.items():
        text = text.replace(place, word)
    return text


# -- the ledger


def rows(project: Path) -> list[sqlite3.Row]:
    """Return all rows of jobs, oldest first."""
    db = sqlite3.connect(project / "home" / "ledger.sqlite3")
    db.row_factory = sqlite3.Row
    found = db.execute("SELECT * FROM jobs ORDER BY created_at").fetchall()
    db.close()
    return found


def states(project: Path) -> set[str]:
    """Return the states that there are."""
    return {row["state"] for row in rows(project)}


def owners(project: Path) -> dict[str, str]:
    """Return who made the rows, by host and number, with the word for each."""
    numbers = {row["owner"].rsplit(":", 2)[1] for row in rows(project)}
    return {f"{socket.gethostname()}:{number}:": "@OWNER@:" for number in sorted(numbers)}


def dump(project: Path) -> str:
    """Return the ledger as SQL."""
    db = sqlite3.connect(project / "home" / "ledger.sqlite3")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    lines = "\n".join(db.iterdump())
    db.close()
    return f"-- A ledger as {COMMIT} left it.\nPRAGMA user_version = {version};\n{lines}\n"


if __name__ == "__main__":
    main()
