"""■, `KeyboardInterrupt` and cancelled tasks, at any point of a job: afterwards it is not in doubt."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from crashes.point import POINTS, Scene
from kernel_environment import pointed_at
from running_kernel import RunningKernel
from scripted import Done, Hold, Queue, Run, Script, ScriptedFal

from kling_nb.events import State
from kling_nb.ledger import Entry, Ledger

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

WAYS = {
    "cell": "%%kling\n{prompt}",
    "generate": "kling_nb.generate({prompt!r})",
    "wait": "job = kling_nb.submit({prompt!r})\njob.wait()",
    "wait after an await": "import asyncio\nawait asyncio.sleep(0)\nkling_nb.submit({prompt!r}).wait()",
    "await": "await kling_nb.submit({prompt!r})",
}
HELD = (
    "submission accepted, not answered",
    "id known",
    "streaming",
    "result asked for",
    "file half received",
)
CANCELLED_TASK = """
import asyncio
async def waiting():
    return await job
task = asyncio.create_task(waiting())
await asyncio.sleep(0.05)
task.cancel()
try:
    await task
except asyncio.CancelledError:
    print("cancelled", job.done, end="")
"""
WAIT_FOR_ALL = """
import kling_nb
for job in kling_nb.resume():
    try:
        job.wait(20)
    except kling_nb.errors.KlingError as error:
        print(type(error).__name__)
"""


class Desk:
    """A kernel with a scripted server, kept over all tests here."""

    def __init__(self, kernel: RunningKernel, fal: ScriptedFal, folder: Path) -> None:
        self.kernel, self.fal = kernel, fal
        self.scene = Scene(fal, folder / "home" / "ledger.sqlite3", folder / "work" / "kling_media")
        self.made = 0

    def prompt(self) -> str:
        self.made += 1
        return f"interrupted {self.made}"

    def row(self, prompt: str) -> Entry:
        """Return the row of the only job of a prompt, once all jobs have ended."""
        self.kernel.ok(WAIT_FOR_ALL)
        ledger = Ledger(self.scene.ledger)
        try:
            (entry,) = [one for one in ledger.entries(limit=1000) if one.prompt == prompt]
        finally:
            ledger.close()
        return entry

    def not_in_doubt(self, prompt: str) -> State:
        """Server, ledger and disk agree on the job, which was submitted once at most."""
        entry = self.row(prompt)
        accepted = [job for job in self.fal.jobs if job.input["prompt"] == prompt]
        assert (
            [job.request_id for job in accepted] == [entry.request_id] if entry.request_id else not accepted
        )
        assert entry.state in {State.READY, State.CANCELLED}
        if entry.state is State.READY:
            assert Path(entry.media_path or "").is_file()
        elif accepted:
            assert accepted[0].cancel_asked
        return entry.state


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "work").mkdir()
    with (
        ScriptedFal() as fal,
        RunningKernel(folder / "work", **pointed_at(fal, folder / "home")) as kernel,
    ):
        kernel.ok("import kling_nb")
        kernel.ok("%load_ext kling_nb")
        yield Desk(kernel, fal, folder)


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("point", HELD)
@pytest.mark.parametrize("way", WAYS)
def test_an_interrupt_leaves_no_doubt(desk: Desk, way: str, point: str, times: int) -> None:
    prompt = desk.prompt()
    desk.fal.script = Script([Queue(1), Run(), Done()])
    with POINTS[point].held(desk.scene) as reached:
        cell = desk.kernel.start(WAYS[way].format(prompt=prompt))
        reached()
        for _ in range(times):
            desk.kernel.interrupt()
        # A second one while IPython writes the traceback of the first costs ipykernel 7.4 the reply.
        desk.kernel.finish(cell) if times == 1 else desk.kernel.wait_until(lambda: cell.done)
    assert not cell.ok
    ended = desk.not_in_doubt(prompt)
    if point in {"streaming", "result asked for", "file half received"}:
        assert ended is State.READY
    again = desk.kernel.run(f"print(kling_nb.generate({prompt!r}).width)")
    assert again.text == "64\n", again.message
    paid = [job for job in desk.fal.jobs if job.input["prompt"] == prompt and not job.cancel_asked]
    assert len(paid) == 1


def test_an_interrupt_just_before_a_cell_waits_ends_the_wait(desk: Desk) -> None:
    """In a cell with an await, ipykernel cancels the cell from its loop, which runs once the cell waits."""
    prompt = desk.prompt()
    desk.fal.script = Script([Queue(1), Run(), Done()])
    code = f"""
import asyncio, signal
await asyncio.sleep(0)
job = kling_nb.submit({prompt!r})
signal.raise_signal(signal.SIGINT)
job.wait()
"""
    with POINTS["streaming"].held(desk.scene):
        cell = desk.kernel.run(code)
    assert not cell.ok
    desk.not_in_doubt(prompt)
    assert desk.kernel.value("1 + 1") == "2"


def test_an_interrupt_while_an_image_goes_up_submits_nothing(desk: Desk) -> None:
    prompt = desk.prompt()
    desk.kernel.ok("from PIL import Image\nImage.new('RGB', (320, 320), 'orange').save('orange.jpg')")
    hold = desk.fal.fault("upload", "stall", at="before_body")
    cell = desk.kernel.start(f"%%kling --image orange.jpg\n{prompt}")
    desk.fal.wait_for(lambda: hold.used)
    desk.kernel.interrupt()
    desk.kernel.finish(cell)
    hold.release()
    desk.fal.clear_faults()
    assert not cell.ok
    assert desk.not_in_doubt(prompt) is State.CANCELLED
    assert not [job for job in desk.fal.jobs if job.input["prompt"] == prompt]


def test_a_cancelled_task_leaves_the_job_alone(desk: Desk) -> None:
    prompt = desk.prompt()
    desk.fal.script = Script([Queue(1), Run(), Hold(), Done()])
    desk.kernel.ok(f"job = kling_nb.submit({prompt!r})")
    assert desk.kernel.ok(CANCELLED_TASK).text == "cancelled False"
    desk.fal.wait_for(lambda: [job for job in desk.fal.jobs if job.input["prompt"] == prompt])
    desk.fal.jobs[-1].release()
    assert desk.kernel.ok("print((await job).width)").text == "64\n"
    assert desk.not_in_doubt(prompt) is State.READY


@pytest.mark.parametrize("point", ["submission accepted, not answered", "streaming", "file half received"])
def test_a_restart_while_a_cell_waits_submits_once(desk: Desk, point: str) -> None:
    prompt = desk.prompt()
    desk.fal.script = Script([Queue(1), Run(), Done()])
    with POINTS[point].held(desk.scene) as reached:
        desk.kernel.start(WAYS["cell"].format(prompt=prompt))
        reached()
        desk.kernel.restart()
    desk.kernel.ok("import kling_nb")
    desk.kernel.ok("%load_ext kling_nb")
    assert json.loads(desk.kernel.ok(f"print(kling_nb.generate({prompt!r}).width)").text) == 64
    assert desk.not_in_doubt(prompt) is State.READY
