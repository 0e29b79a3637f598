"""What bad input gets: a failed cell with a message of at most four lines that names thing and remedy."""

from collections.abc import Iterator

import pytest
from kernel_environment import pointed_at
from running_kernel import RunningKernel
from scripted import Done, Fail, Hold, Queue, Run, Script, ScriptedFal

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedFal]:
    with ScriptedFal() as fal:
        yield fal


@pytest.fixture(scope="module")
def shared(server: ScriptedFal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKernel]:
    folder = tmp_path_factory.mktemp("work")
    (folder / "notes.png").write_text("this is no picture")
    with RunningKernel(folder, **pointed_at(server, folder / "home")) as running:
        running.ok("%load_ext kling_nb")
        yield running


def refusal(kernel: RunningKernel, code: str) -> str:
    """The message of a cell that must fail."""
    cell = kernel.run(code)
    assert cell.reply["status"] == "error", cell.text
    lines = cell.message.splitlines()
    assert len(lines) <= 4, cell.message
    assert "Traceback" not in cell.message
    return cell.message


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("%%kling --aspekt-ratio 1:1\na cat", ["--aspekt-ratio", "--aspect-ratio"]),
        ("%%kling --aspect-ratio 4:3\na cat", ["--aspect-ratio", "4:3", "16:9", "9:16", "1:1"]),
        ("%%kling --duration 7\na cat", ["--duration", "7", "5", "10"]),
        ("%%kling\n   \n", ["prompt is empty", "Write the prompt below the %%kling line."]),
        ("%%kling --endpoint v1-prro\na cat", ["v1-prro", "v1-pro"]),
        ("%%kling --image missing.png\na cat", ["--image: no such file", "missing.png"]),
        ("%%kling --image-url missing.png --endpoint v1-pro-image\na cat", ["--image-url: no such file"]),
        ("%%kling --grid image=missing.png\na cat", ["--image: no such file"]),
        ("%%kling --image quit.lastframe\na cat", ["quit.lastframe", "no file", "last_frame"]),
        ("%%kling --grid prompt=moon,sun\na cat", ["--grid cannot vary the prompt", "{moon|sun}"]),
        ("%%kling --image notes.png\na cat", ["notes.png", "image"]),
        ("%%kling --image .\na cat", ["folder"]),
        ("%%kling --set duration=five\na cat", ["duration", "JSON"]),
        ("%%kling --set duration\na cat", ["duration", "KEY=JSON"]),
        ("%%kling --take 2 --new\na cat", ["--take", "--new"]),
        ("%%kling --no-wait --timeout 3\na cat", ["--timeout", "--no-wait"]),
        ("%%kling --take zero\na cat", ["--take", "zero"]),
        ("%%kling --duration 5 --set duration=10\na cat", ["duration", "twice"]),
        ("%%kling a red balloon\nx", ["red", "the prompt below it"]),
        ("%%kling class\nx", ["class", "variable"]),
        ('%%kling --aspect-ratio "1:1\na cat', ["is not closed"]),
        ("%kling shwo x", ["shwo", "show"]),
        ("%kling show nosuchjob", ["nosuchjob", "%kling jobs"]),
        ("%kling use v99", ["v99"]),
        ("%kling endpoints nothinglikeit", ["nothinglikeit"]),
    ],
)
def test_nothing_is_submitted(
    shared: RunningKernel, server: ScriptedFal, code: str, named: list[str]
) -> None:
    before = len(server.requests)
    message = refusal(shared, code)
    for word in named:
        assert word in message
    assert len(server.requests) == before


def test_a_setting_that_does_not_exist(shared: RunningKernel, server: ScriptedFal) -> None:
    shared.ok("%config KlingMagics.endpoint = 'v3-pro'")
    assert "v3-pro" in shared.ok("%kling").text
    shared.ok("%config KlingMagics.endpoint = None")
    shared.run("get_ipython().config.KlingMagics.endpiont = 'v3-pro'")
    assert "endpiont" in refusal(shared, "%%kling\na cat")
    shared.ok("del get_ipython().config.KlingMagics['endpiont']")


def test_backend_fal_without_a_key(shared: RunningKernel, server: ScriptedFal) -> None:
    before = len(server.requests)
    shared.ok("import os\nkey = os.environ.pop('FAL_KEY')")
    message = refusal(shared, "%%kling\na cat without a key")
    shared.ok("os.environ['FAL_KEY'] = key")
    assert "key" in message
    assert "FAL_KEY" in message
    assert len(server.requests) == before


def test_a_wrong_key(shared: RunningKernel, server: ScriptedFal) -> None:
    shared.ok("import kling_nb\nkling_nb.configure(credentials='11111111-dead:2222beef')")
    message = refusal(shared, "%%kling\na cat with a wrong key")
    shared.ok("kling_nb.configure(credentials=None)")
    assert "401" in message
    assert "Check the key" in message
    assert "2222beef" not in message


def test_no_money(shared: RunningKernel, server: ScriptedFal) -> None:
    server.fault("submit", "no_money")
    message = refusal(shared, "%%kling\na cat without money")
    assert "Exhausted balance" in message
    assert "Add credit" in message


def test_an_unknown_app(shared: RunningKernel, server: ScriptedFal) -> None:
    body = {"detail": 'Application "fal-ai/kling-video" not found'}
    server.fault("submit", "status", status=404, body=body)
    message = refusal(shared, "%%kling\na cat for no one")
    assert "404" in message
    assert "%kling endpoints" in message


def test_input_refused_by_the_model_names_the_parameter(shared: RunningKernel, server: ScriptedFal) -> None:
    detail = {"loc": ["body", "prompt"], "msg": "too strange", "type": "value_error"}
    server.script = Script([Run(), Fail.refused(detail)])
    message = refusal(shared, "%%kling\na strange cat")
    assert "prompt: too strange" in message


def test_content_policy(shared: RunningKernel, server: ScriptedFal) -> None:
    detail = {"loc": ["body", "prompt"], "msg": "not allowed", "type": "content_policy_violation"}
    server.script = Script([Run(), Fail.refused(detail)])
    message = refusal(shared, "%%kling\na forbidden cat")
    assert "ContentRefused" in message
    assert "may bill it: change the prompt" in message


def test_time_out_leaves_the_job_running(shared: RunningKernel, server: ScriptedFal) -> None:
    server.script = Script([Queue(0), Run(), Hold(), Done()])
    message = refusal(shared, "%%kling slow --timeout 0.2\na slow cat")
    assert "the job goes on" in message
    assert "%kling show" in message
    server.jobs[-1].release()
    before = len(server.accepted)
    shared.ok("%%kling slow\na slow cat")
    assert len(server.accepted) == before
