"""`%%kling` in a real kernel."""

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
    assert cell.error is not None
    assert cell.error["ename"] == "JobCancelled"
    kernel.wait_until(lambda: any(m.get("id") == 7 and m["ok"] for m in kernel.received(comm_id)))
    assert fal.count("cancel") == 1
    assert "cancelled" in kernel.ok("%kling jobs").text.lower()


def test_an_interrupted_queued_cell_cancels_the_job(kernel: RunningKernel, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    cell = kernel.start(CAT)
    kernel.wait_until(lambda: "IN_QUEUE" in str(kernel.comm_messages))
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.error is not None
    assert cell.error["ename"] == "Interrupted"
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
    assert cell.error is not None
    assert cell.error["ename"] == "Interrupted"
    assert "keeps running at fal" in cell.message
    assert fal.accepted[0].request_id in cell.message
    assert fal.count("cancel") == 0
    again = kernel.start(CAT)
    fal.release()
    assert kernel.finish(again).ok, again.message
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
    assert kernel.finish(cell).error is not None


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


def test_variables_are_filled_into_prompt_and_line(kernel: RunningKernel, fal: ScriptedFal) -> None:
    kernel.ok("animal, shape, data = 'heron', '9:16', {'a': 1}")
    kernel.ok("%%kling --aspect-ratio {shape}\na $animal, {animal.upper()}, {missing} 100 %")
    kernel.ok("%%kling --duration 10\na $animal, {animal.upper()} 100 %")
    first, second = (submission.input for submission in fal.accepted)
    assert first == {"prompt": "a $animal, {animal.upper()}, {missing} 100 %", "aspect_ratio": "9:16"}
    assert second == {"prompt": "a heron, HERON 100 %", "duration": "10"}


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
