"""Each endpoint with a schema: an example input is valid, `--dry-run` prints it, and the server accepts it.

Rendering all of them would take minutes. So the server renders one of each form (below), and of
the rest each job is followed until its input has passed the server's own check, then cancelled.
"""

import base64
import json
import shlex
import wave
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from clips import clip_bytes
from local.running_server import RunningServer

from kling_nb.catalog import Endpoint
from kling_nb.catalog.shipped import endpoint, endpoints
from kling_nb.cli import main
from kling_nb.notebook.flags import flag_of, parse_line
from kling_nb.request.request import VideoRequest
from kling_nb.session import Session
from kling_nb.video import MediaFile, Video

ALL = [one for one in endpoints() if one.has_schema]
EACH = pytest.mark.parametrize("one", ALL, ids=lambda one: one.short_name)

RENDERED = (
    "v1-standard",  # a camera control
    "v1.6-standard-image",
    "v1-standard-image",  # an end image and masks
    "v3-turbo-standard",  # shots
    "v3-standard-image",  # elements
    "v1-standard-effects",
    "o1-standard-edit",
    "o1-standard-reference",
    "v1-standard-avatar",
    "lipsync-text",
    "video-to-audio",
    "tts",
    "create-voice",
    "try-on",
    "image-o3-text-to-image",  # a list of images
)
"""One of each form of input and result."""

WORDS = {"prompt": "A paper boat on a pond", "text": "Good evening"}
NESTED: dict[str, Any] = {
    "camera_control": "down_back",
    "advanced_camera_control": {"movement_type": "zoom", "movement_value": -3},
    "multi_prompt": [{"prompt": "A boat", "duration": "1"}, {"prompt": "It sinks", "duration": "2"}],
}


def uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def sound() -> bytes:
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(2000)
        file.writeframes(bytes(20000))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def files(png: bytes) -> dict[str, str]:
    """Return an image, a video and an audio file, each as a data URI."""
    return {
        "image": uri("image/png", png),
        "video": uri("video/mp4", clip_bytes(frames=72, fps=24, size=(720, 720), key_every=72)),
        "audio": uri("audio/wav", sound()),
    }


def example(one: Endpoint, files: dict[str, str]) -> dict[str, Any]:
    """An input as short and as full as it can be: everything nested, every file, no plain option."""
    schema = one.input_schema
    values = {name: value(part, files) for name, part in schema["properties"].items() if worth_it(name, part)}
    values |= {name: words for name, words in WORDS.items() if name in schema["properties"]}
    values |= {name: made for name, made in NESTED.items() if name in schema["properties"]}
    values |= {
        name: value(schema["properties"][name], files)
        for name in schema.get("required", ())
        if name not in values
    }
    if "multi_prompt" in values:
        del values["prompt"]
    elif "duration" in schema["properties"]:
        values["duration"] = schema["properties"]["duration"]["enum"][0]
    return values


def worth_it(name: str, part: dict[str, Any]) -> bool:
    return "x-fal-media" in part or part.get("type") in {"array", "object"}


def value(part: dict[str, Any], files: dict[str, str]) -> Any:
    """The simplest value of a schema."""
    if "x-fal-media" in part:
        return files[part["x-fal-media"]]
    if "enum" in part:
        return part["enum"][0]
    match part.get("type"):
        case "array":
            return [value(part["items"], files)]
        case "object":
            known = part["properties"]
            required = part.get("required") or [name for name in known if "image" in name]
            return {name: value(known[name], files) for name in required}
        case "integer" | "number":
            return part.get("minimum", 1)
        case "boolean":
            return True
    return "five"


# -- without a server


@EACH
def test_an_example_input_is_valid(one: Endpoint, files: dict[str, str]) -> None:
    values = example(one, files)
    request = VideoRequest.build(one, values)
    assert request.input == values
    assert jsonschema_rs.is_valid(dict(one.input_schema), request.resolved)
    assert VideoRequest.build(one, request.resolved).fingerprint == request.fingerprint


@EACH
def test_it_goes_through_flags_and_a_dry_run_prints_it(
    one: Endpoint, files: dict[str, str], home: Path, tmp_cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = example(one, files)
    words = ["generate", "--dry-run", "--endpoint", one.short_name]
    for name, given in values.items():
        if name in WORDS:
            words.insert(1, given)
        elif isinstance(given, (dict, list)):
            words += ["--set", f"{name}={json.dumps(given)}"]
        else:
            words += [flag_of(name), str(given)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"POST https://queue.fal.run/{one.id}\n")
    assert json.loads(shown[shown.index("{") : shown.rindex("}") + 1]) == values
    assert shown.rstrip().endswith("Nothing was sent.")
    assert not list(tmp_cwd.iterdir())


@EACH
def test_nested_values_are_json_in_a_cell_and_in_python(
    one: Endpoint, files: dict[str, str], home: Path, tmp_cwd: Path
) -> None:
    """`--set NAME=JSON`, `--name JSON`, a JSON text and Python's own lists say the same."""
    values = example(one, files)
    nested = {name: given for name, given in values.items() if isinstance(given, (dict, list))}
    plain = {name: given for name, given in values.items() if name not in nested}
    session = Session()
    expected = session.request(endpoint=one.id, **values).fingerprint
    texts = {name: json.dumps(given) for name, given in nested.items()}
    assert session.request(endpoint=one.id, **plain, **texts).fingerprint == expected
    for form in ("--set {name}={text}", "{flag} {text}"):
        line = " ".join(
            form.format(name=name, flag=flag_of(name), text=shlex.quote(text)) for name, text in texts.items()
        )
        call = parse_line(line, default_endpoint=one.id)
        assert session.request(endpoint=one.id, **plain, **call.parameters).fingerprint == expected


# -- with the server


@EACH
def test_the_server_accepts_it(one: Endpoint, files: dict[str, str], server: RunningServer) -> None:
    job = server.submit(one.id, example(one, files))
    status = server.until(job, lambda status: bool(status["logs"]) or status["status"] == "COMPLETED")
    assert status["logs"][0]["message"] == f"Loading pipeline kling-{one.short_name}"
    assert not [line for line in status["logs"] if line["level"] == "ERROR"]
    server.cancel(job)
    server.finish(job)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("every")
    with Session(
        backend="local", local_speed=float("inf"), home=folder / "home", media=folder / "media"
    ) as made:
        yield made


@pytest.mark.parametrize("name", RENDERED)
def test_what_it_gives_is_what_its_schema_promises(
    name: str, files: dict[str, str], session: Session
) -> None:
    one = endpoint(name)
    job = session.submit(endpoint=name, **example(one, files))
    result = job.wait()
    assert job.output is not None
    jsonschema_rs.validate(dict(one.output_schema), job.output)
    match one.output_kind:
        case "video":
            assert isinstance(result, Video)
            assert result.duration > 0
        case "data":
            assert result == job.output
        case kind:
            assert isinstance(result, MediaFile)
            assert (result.kind, result.take, result.backend) == (kind, 1, "local")
    others = set(one.output_schema["properties"]) & {"audio"} - {one.output_pointer}
    assert set(job.files) == others
    assert session.submit(endpoint=name, **example(one, files)).result.__class__ is result.__class__
