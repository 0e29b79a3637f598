"""`%%kling` in a real kernel."""

from itertools import count
from typing import Any

import pytest
from running_kernel import RunningKernel
from scripted import Done, Hold, Log, Queue, Run, Script, ScriptedFal

pytestmark = pytest.mark.kernel
CAT = "%%kling cat\na cat on a roof"


def test_run_all_a_cell_that_uses_name_follows_at_once(kernel: RunningKernel) -> None:
    first, second = kernel.start(CAT), kernel.start("print(cat.width, cat.path.name)")
    assert kernel.finish(first).ok, first.message
    assert kernel.finish(second).ok, second.message
    assert second.text.startswith("64 a-cat-on-a-roof-")


def test_each_cell_of_a_run_all_ends_as_itself_whatever_widgets_ask_meanwhile(kernel: RunningKernel) -> None:
    cells = [kernel.start(f"%%kling\na paper boat, number {number % 3}") for number in range(9)]
    asked: set[str] = set()

    def all_done() -> bool:
        for comm_id in kernel.comms.keys() - asked:  # as a view does when it appears
            asked.add(comm_id)
            for number in range(4):
                kernel.send(comm_id, {"id": number, "kind": "snapshot", "msg": {}})
        return all(cell.done for cell in cells)

    kernel.wait_until(all_done)
    assert len(asked) >= len(cells)


def test_the_card_is_put_in_by_display_id_and_carries_its_mark(
    kernel: RunningKernel, fal: ScriptedFal
) -> None:
    cell = kernel.ok(CAT)
    widget, card = cell.displays
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert "<video" in card["text/html"]
    assert 'src="kling_media/a-cat-on-a-roof-' in card["text/html"]
    assert fal.accepted[0].request_id in card["text/plain"]
    for metadata in cell.metadata:
        assert metadata["kling_nb"]["job"]
        assert "kernel" in metadata["kling_nb"]  # its id is known only under a server; see tests/browser


def test_the_widget_hears_log_lines_while_the_cell_runs(kernel: RunningKernel, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(1), Run(), Log("Loading"), Hold(), Log("Encoding"), Done()])
    cell = kernel.start(CAT)
    kernel.wait_until(lambda: "Loading" in str(kernel.comm_messages))
    assert not cell.done
    fal.release()
    assert kernel.finish(cell).ok, cell.message
    kernel.wait_until(lambda: "Encoding" in str(kernel.comm_messages))


def test_cancel_in_the_widget_works_while_the_cell_waits(kernel: RunningKernel, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    cell = kernel.start(CAT)
    kernel.wait_until(lambda: "IN_QUEUE" in str(kernel.comm_messages))
    comm_id = next(reversed(kernel.comms))
    kernel.send(comm_id, {"id": 7, "kind": "cancel", "msg": {"key": 1}})
    kernel.finish(cell)
    assert (cell.error, cell.reply["ename"]) == (None, "JobCancelled")  # no red block
    kernel.wait_until(lambda: any(m.get("id") == 7 and m["ok"] for m in kernel.received(comm_id)))
    assert fal.count("cancel") == 1
    assert "cancelled" in kernel.ok("%kling jobs").text.lower()


def test_an_interrupted_queued_cell_cancels_the_job(kernel: RunningKernel, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    cell = kernel.start(CAT)
    kernel.wait_until(lambda: "IN_QUEUE" in str(kernel.comm_messages))
    kernel.interrupt()
    kernel.finish(cell)
    assert (cell.error, cell.reply["ename"]) == (None, "Interrupted")  # no red block
    assert "Not charged" in cell.message
    assert "Traceback" not in cell.message
    assert fal.count("cancel") == 1
    assert kernel.value("1 + 1") == "2"


def test_an_interrupted_running_cell_says_that_the_job_goes_on_and_finds_it_again(
    kernel: RunningKernel, fal: ScriptedFal
) -> None:
    fal.script = Script([Queue(0), Run(), Log("Loading"), Hold(), Done()])
    cell = kernel.start(CAT)
    kernel.wait_until(lambda: "Loading" in str(kernel.comm_messages))
    kernel.interrupt()
    kernel.finish(cell)
    assert (cell.error, cell.reply["ename"]) == (None, "Interrupted")  # no red block
    assert "keeps running at fal" in cell.message
    assert fal.accepted[0].request_id in cell.message
    assert fal.count("cancel") == 0
    again = kernel.start(CAT)
    fal.release()
    assert kernel.finish(again).ok, again.message
    assert len(fal.accepted) == 1


def test_an_interrupted_await_of_a_job_says_the_same_as_an_interrupted_cell(
    kernel: RunningKernel, fal: ScriptedFal
) -> None:
    fal.script = Script([Queue(0), Run(), Log("Loading"), Hold(), Done()])
    kernel.ok("import asyncio, kling_nb\njob = kling_nb.submit('a dog')\njob")
    kernel.wait_until(lambda: "Loading" in str(kernel.comm_messages))
    kernel.ok(
        "try:\n    async with asyncio.timeout(0.01):\n        await job\nexcept TimeoutError:\n    pass"
    )
    kernel.ok("study = kling_nb.sweep(['a dog'])\nwhile not study[0].job:\n    await asyncio.sleep(0.01)")
    for code in ("await job", "await study", "await asyncio.gather(job, study)"):
        cell = kernel.start(f"print('waits')\n{code}")
        kernel.wait_until(lambda cell=cell: "waits" in cell.text)
        kernel.interrupt()
        kernel.finish(cell)
        assert (cell.error, cell.reply["ename"]) == (None, "Interrupted")
        assert "running" in cell.message
        assert "Traceback" not in cell.message
    task = "async def follow():\n    await job\ntask = asyncio.ensure_future(follow())"
    cell = kernel.start(f"{task}\nprint('waits')\nawait asyncio.sleep(0)\ntask.cancel()\nawait task")
    assert kernel.finish(cell).error["ename"] == "CancelledError"  # not by an interrupt
    assert fal.count("cancel") == 0
    fal.release()
    kernel.ok("await job")
    assert len(fal.accepted) == 1


def test_kernel_restarted_while_a_job_runs_then_run_all_submits_once(
    new_kernel: RunningKernel, fal: ScriptedFal
) -> None:
    fal.script = Script([Queue(0), Run(), Log("Loading"), Hold(), Done()])
    new_kernel.start(CAT)
    new_kernel.wait_until(lambda: "Loading" in str(new_kernel.comm_messages))
    new_kernel.restart()
    load = new_kernel.ok("%load_ext kling_nb")
    assert "1 unfinished job in this folder" in load.text
    cell = new_kernel.start(CAT)
    new_kernel.wait_until(lambda: fal.count("stream") == 2)
    fal.release()
    assert new_kernel.finish(cell).ok, cell.message
    assert new_kernel.value("cat.width") == "64"
    assert len(fal.accepted) == 1
    assert fal.count("submit") == 1


def test_resume_brings_the_job_of_a_kernel_that_was_killed(
    new_kernel: RunningKernel, fal: ScriptedFal
) -> None:
    fal.script = Script([Queue(0), Run(), Log("Loading"), Hold(), Done()])
    new_kernel.start(CAT)
    new_kernel.wait_until(lambda: "Loading" in str(new_kernel.comm_messages))
    new_kernel.kill()
    new_kernel.restart()
    assert "%kling resume" in new_kernel.ok("%load_ext kling_nb").text
    fal.release()
    cell = new_kernel.ok("%kling resume")
    new_kernel.wait_until(lambda: "<video" in cell.html())
    assert fal.count("submit") == 1
    new_kernel.ok("%kling resume")
    assert fal.count("result") == 1  # there is nothing left to take up


@pytest.mark.parametrize("wrapper", ["%%time", "%%capture captured"])
def test_other_cell_magics_around_it_work(kernel: RunningKernel, wrapper: str) -> None:
    cell = kernel.ok(f"{wrapper}\n{CAT}")
    assert kernel.value("cat.width") == "64"
    if "capture" in wrapper:
        assert not cell.displays
        assert "<video" in kernel.value("captured.outputs[-1].data['text/html']")
    else:
        assert "Wall time" in cell.text


def test_without_autoawait_it_blocks_and_works(kernel: RunningKernel) -> None:
    kernel.ok("%autoawait off")
    kernel.ok(CAT)
    assert kernel.value("cat.width") == "64"
    kernel.ok("%autoawait on")


def test_called_directly_it_blocks_and_works(kernel: RunningKernel) -> None:
    kernel.ok("get_ipython().run_cell_magic('kling', 'cat', 'a cat on a roof')")
    assert kernel.value("cat.width") == "64"
    kernel.ok("def make():\n    get_ipython().run_cell_magic('kling', 'dog', 'a dog')\nmake()")
    assert kernel.value("dog.width") == "64"


def test_after_a_failed_cell_the_next_one_is_awaited_again(kernel: RunningKernel, fal: ScriptedFal) -> None:
    assert not kernel.run("%%kling --nonsense\nx").ok
    assert not kernel.run("1/0").ok
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    cell = kernel.start(CAT)
    kernel.wait_until(lambda: "IN_QUEUE" in str(kernel.comm_messages))
    kernel.send(next(reversed(kernel.comms)), {"id": 1, "kind": "cancel", "msg": {"key": 1}})
    assert not kernel.finish(cell).ok


def test_the_users_own_tasks_go_on_while_a_cell_waits(kernel: RunningKernel, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    kernel.ok(
        "import asyncio\nticks = 0\nasync def tick():\n    global ticks\n    while True:\n"
        "        await asyncio.sleep(0.01)\n        ticks += 1\n"
        "        print('tick') if ticks == 20 else None\n"
        "task = asyncio.get_running_loop().create_task(tick())"
    )
    cell = kernel.start(CAT)
    fal.wait_for("stream")
    kernel.wait_until(lambda: "tick" in "".join(c.text for c in kernel._cells.values()))
    assert not cell.done
    fal.release()
    assert kernel.finish(cell).ok


def test_a_take_is_shown_again_without_a_request(kernel: RunningKernel, fal: ScriptedFal) -> None:
    kernel.ok(CAT)
    before = len(fal.requests)
    cell = kernel.ok("%%kling again\na cat on a roof")
    assert len(fal.requests) == before
    assert "already made, free" in cell.html()
    assert kernel.value("again.path == cat.path") == "True"
    kernel.ok("%%kling other --new\na cat on a roof")
    assert len(fal.accepted) == 2
    assert kernel.value("(other.take, cat.take)") == "(2, 1)"
    kernel.ok("%%kling second --take 2\na cat on a roof")
    assert kernel.value("second.path == other.path") == "True"
    assert len(fal.accepted) == 2


def test_the_video_of_a_cell_without_a_name_is_the_last_output(
    kernel: RunningKernel, fal: ScriptedFal
) -> None:
    cell = kernel.ok("%%kling\na boat")
    kernel.ok("shown = dict(Out)")
    assert kernel.value("[video.path.name[:7] for video in shown.values()]") == "['a-boat-']"
    assert len(cell.displays) == 2  # widget and card, and no other
    kernel.ok("%%kling named\na boat")
    kernel.ok("%%kling --no-wait\na boat")
    kernel.ok("kinds = [type(_).__name__, type(__).__name__]")
    assert kernel.value("kinds") == "['Job', 'Video']"
    kernel.ok("%%kling --grid duration=5,10\na boat")
    assert kernel.value("len(_)") == "2"


def test_a_cell_that_an_earlier_version_sent_in_another_form_shows_its_take(
    kernel: RunningKernel, fal: ScriptedFal
) -> None:
    kernel.ok(
        "import kling_nb\nanimal = 'fox'\nfor text in ['coffee 5', 'a {nothing} here', 'a fox 5', 'it 5']:\n"
        "    kling_nb.generate(text)\nkling_nb.generate('two\\r\\nlines')"
    )
    sent = len(fal.accepted)
    cell = kernel.ok("%%kling cup\ncoffee $5")
    assert 'Made by an earlier version, which sent the prompt as "coffee 5".' in cell.text
    assert "coffee 5" in cell.displays[-1]["text/plain"]
    cell = kernel.ok("%%kling\na {nothing} here")
    assert 'which sent the prompt as "a {nothing} here"' in cell.text
    cell = kernel.ok("%%kling --dry-run\ncoffee $5")
    assert "Already made, free" in cell.text
    cell = kernel.ok("%%kling --grid\n{a {animal}|it} $5")
    assert "2 already made, free" in cell.text
    assert cell.text.count("Made by an earlier version") == 2
    assert "which sent" in kernel.ok("%%kling --frozen\ncoffee $5").text
    assert len(fal.accepted) == sent
    for code, words in [
        ("%%kling\nanother {nothing}", "{nothing}: name 'nothing' is not defined. Nothing was sent."),
        ("%%kling\n{red|blue} fox", "alternatives, which need --grid"),
        ("%%kling --new\na {nothing} here", "name 'nothing' is not defined"),
        ("%%kling --grid\n{a|it} {nothing} here", "name 'nothing' is not defined"),
    ]:
        assert words in kernel.run(code).message
    assert len(fal.accepted) == sent
    kernel.ok("%%kling --new\ncoffee $5")
    kernel.ok("%%kling --raw\n{nothing} for $5 {{x}}")
    assert [job.input["prompt"] for job in fal.accepted[sent:]] == ["coffee $5", "{nothing} for $5 {{x}}"]


def test_common_slips_of_the_line_are_explained(kernel: RunningKernel, fal: ScriptedFal) -> None:
    for code, words in [
        ("%kling A red fox", "begin the cell with %%kling"),
        ("%%kling --help\na fox", "%%kling? shows"),
        ("fox = %%kling --duration 5\nA red fox", "%%kling fox --duration 5"),
        ("%%kling --image foxx.last_frame\nit moves", "--image foxx.last_frame: name 'foxx' is not defined"),
        ("%%kling --image foxx\nit moves", "--image foxx: name 'foxx' is not defined"),
        ("%%kling --grid image=foxx,b.png\nit moves", "--grid image foxx: name 'foxx' is not defined"),
    ]:
        cell = kernel.run(code)
        assert cell.error is not None, code
        assert words in cell.message
        assert "Traceback" not in cell.message
    assert not fal.accepted
    kernel.ok("%%kling cat --duration 5 \\\n  --aspect-ratio 1:1  # square\na cat")
    assert fal.accepted[0].input == {"prompt": "a cat", "duration": "5", "aspect_ratio": "1:1"}


def test_variables_are_filled_into_prompt_and_line(kernel: RunningKernel, fal: ScriptedFal) -> None:
    kernel.ok("animal, shape, data = 'heron', '9:16', {'a': 1}")
    kernel.ok("%%kling --aspect-ratio {shape}\na $animal, {animal.upper()}, {1} 100 %")
    kernel.ok("%%kling --duration 10\na $animal, {animal.upper()} 100 %")
    first, second = (submission.input for submission in fal.accepted)
    assert first == {"prompt": "a heron, HERON, {1} 100 %", "aspect_ratio": "9:16"}
    assert second == {"prompt": "a heron, HERON 100 %", "duration": "10"}


def test_lines_are_filled_in_as_cells_and_a_price_evaluates_names_only(kernel: RunningKernel) -> None:
    kernel.ok("which, calls = 'v3-pro', []\ndef made():\n    calls.append(1)\n    return 'v3-pro'")
    for name in ("{which}", "$which", "v3-pro"):  # this fal has no price of it
        assert "kling-video/v3/pro" in kernel.run(f"%kling price {name}").message
    assert "{made()}: only names are filled in here" in kernel.run("%kling price {made()}").message
    assert "has no subcommand" in kernel.run("%kling A {made()} red fox").message
    assert kernel.value("calls") == "[]"
    assert "v3-pro" in kernel.ok("%kling use {made()}").text
    assert kernel.value("calls") == "[1]"
    kernel.ok("%kling use v1-pro")


def test_a_field_is_evaluated_once_per_cell(kernel: RunningKernel, fal: ScriptedFal) -> None:
    kernel.ok("import itertools\ncount = itertools.count(1)")
    kernel.ok("%%kling --grid duration=5,10\n{next(count)} {boats|kites} for $5")
    assert {job.input["prompt"] for job in fal.accepted} == {"1 boats for $5", "1 kites for $5"}
    assert "2 owls" in kernel.ok("%%kling --dry-run\n{next(count)} owls for $5").text
    assert kernel.value("next(count)") == "3"


def test_no_wait_gives_a_job_that_can_be_awaited(kernel: RunningKernel, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(0), Run(), Hold(), Done()])
    cell = kernel.ok("%%kling job --no-wait\na cat on a roof")
    assert kernel.value("job.done") == "False"
    fal.wait_for(lambda: fal.jobs)
    fal.release()
    assert kernel.ok("video = await job\nprint(video.width)").text == "64\n"
    kernel.wait_until(lambda: "<video" in cell.html())


def test_a_job_and_a_video_show_themselves(kernel: RunningKernel) -> None:
    kernel.ok("import kling_nb\njob = kling_nb.submit('a cat')\nvideo = job.wait()")
    assert "<video" in kernel.ok("video").html()
    assert "<video" in kernel.ok("job").html()


def test_sweeps_and_storyboards_have_widgets_as_jobs_have(kernel: RunningKernel, fal: ScriptedFal) -> None:
    kernel.ok("import kling_nb, ipywidgets\nstudy = kling_nb.sweep(['a boat', 'a kite']).wait()")
    kernel.ok(
        "board = kling_nb.Storyboard(study.videos)\n"
        "row = [study.widget(), board.widget(), study[0].job.widget()]"
    )
    assert kernel.value("[type(one).__name__ for one in row]") == "['GridWidget', 'GridWidget', 'JobWidget']"
    (shown,) = kernel.ok("ipywidgets.HBox(row)").displays
    assert "application/vnd.jupyter.widget-view+json" in shown
    for at, words in enumerate(["2 of 2 ready", "2 shots"]):
        comm = kernel.value(f"row[{at}].comm.comm_id")
        kernel.send(comm, {"id": at, "kind": "snapshot", "msg": {}})
        kernel.wait_until(lambda words=words: words in str(kernel.comm_messages))


def test_dry_run_sends_nothing(kernel: RunningKernel, fal: ScriptedFal) -> None:
    text = kernel.ok("%%kling --dry-run --duration 10\na cat").text
    assert '"duration": "10"' in text
    assert "Nothing was sent" in text
    assert not fal.requests


def test_quiet_says_nothing(kernel: RunningKernel) -> None:
    cell = kernel.ok("%%kling cat --quiet\na cat on a roof")
    assert not cell.displays
    assert not cell.text
    assert kernel.value("cat.width") == "64"


def test_a_take_that_is_used_is_the_variable_the_card_and_what_the_cell_gives_again(
    kernel: RunningKernel, fal: ScriptedFal
) -> None:
    cell = kernel.ok("%%kling kite\na kite")
    view = next(reversed(kernel.comms))

    numbers = count()

    def ask(kind: str, **msg: object) -> dict[str, Any]:
        number = next(numbers)
        kernel.send(view, {"id": number, "kind": kind, "msg": msg})
        kernel.wait_until(lambda: any(one.get("id") == number for one in kernel.received(view)))
        return next(one for one in kernel.received(view) if one.get("id") == number)

    ask("generate", key=1, changes={"duration": "10"}, backend="fal")
    kernel.wait_until(lambda: kernel.value("len(list(kite.path.parent.glob('*.mp4')))") == "2")
    kernel.wait_until(lambda: ask("snapshot", key=2)["msg"]["state"] == "READY")
    assert kernel.value("kite.request['input'].get('duration')") == "None"
    assert ask("use", key=2)["msg"]["words"].startswith("kite is this take, in all notebooks with")
    assert kernel.value("kite.request['input']['duration']") == "10"
    kernel.wait_until(lambda: fal.accepted[1].request_id in cell.displays[-1]["text/plain"])
    assert "Duration 10 s" in cell.displays[-1]["text/plain"]

    again = kernel.ok("%%kling kite\na kite")
    assert "kite is the take that you chose, with another duration." in again.text
    assert kernel.value("kite.request['input']['duration']") == "10"
    view = next(reversed(kernel.comms))
    takes = ask("snapshot")["msg"]["takes"]
    assert [(take["chosen"], take["variable"]) for take in takes] == [(False, "kite"), (True, "kite")]
    assert len(fal.accepted) == 2
    kernel.ok("%%kling bird\na kite")
    assert kernel.value("bird.request['input'].get('duration')") == "None"
    kernel.ok("%%kling kite --take 1\na kite")
    assert kernel.value("kite.request['input'].get('duration')") == "None"


def test_a_take_that_is_used_while_its_cell_waits_stays_the_variable(
    kernel: RunningKernel, fal: ScriptedFal
) -> None:
    fal.script = Script([Queue(0), Hold(), Run(), Done()])
    cell = kernel.start("%%kling kite\na kite")
    kernel.wait_until(lambda: "IN_QUEUE" in str(kernel.comm_messages))
    view = next(reversed(kernel.comms))
    fal.script = Script([Run(), Done()])
    made = {"key": 1, "changes": {"duration": "10"}, "backend": "fal"}
    kernel.send(view, {"id": 1, "kind": "generate", "msg": made})

    def is_ready(message: dict[str, Any]) -> bool:
        update = message["kind"] == "update" and message["msg"]
        return bool(update) and (update["key"], update["state"]) == (2, "READY")

    kernel.wait_until(lambda: any(map(is_ready, kernel.received(view))))
    kernel.send(view, {"id": 2, "kind": "use", "msg": {"key": 2}})
    kernel.wait_until(lambda: any(one.get("id") == 2 and one["ok"] for one in kernel.received(view)))
    assert not cell.done
    fal.release(fal.accepted[0].request_id)
    assert kernel.finish(cell).ok, cell.message
    assert kernel.value("kite.request['input']['duration']") == "10"
    kernel.wait_until(lambda: "Duration 10 s" in cell.displays[-1]["text/plain"])
