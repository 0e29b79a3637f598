"""The process: its one line, its flags, and its end."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest
from local.running_server import LONG, RunningServer, running, wait_for

from kling_nb.job.connections import group_options

COMMAND = [sys.executable, "-m", "kling_nb.local"]


def run(*flags, **options):
    return subprocess.run(
        [*COMMAND, *flags], capture_output=True, text=True, timeout=30, check=False, **options
    )


def test_says_where_it_listens_in_one_line_and_leaves_nothing_behind(tmp_path):
    server = RunningServer("--speed", "inf", env={"TMPDIR": str(tmp_path)})
    assert set(server.hello) == {"url", "key", "pid"}
    assert server.hello["pid"] == server.process.pid
    assert server.url.startswith("http://127.0.0.1:")
    name, colon, secret = server.key.partition(":")
    assert name.startswith("local-")
    assert colon
    assert len(secret) == 32
    assert server.http.get("/health").json() == {"status": "ok"}
    server.result("fal-ai/kling-video/v1/tts", {"text": "hello"})
    assert list(tmp_path.iterdir())
    server.close()
    assert list(tmp_path.iterdir()) == []


def test_two_servers_have_different_keys(server):
    with running() as other:
        assert other.key != server.key


def test_key_and_folder_can_be_given(tmp_path):
    folder = tmp_path / "files"
    with running("--speed", "inf", "--key", "mine:own", "--folder", str(folder)) as server:
        assert server.key == "mine:own"
        server.result("fal-ai/kling-video/v1/tts", {"text": "hello"})
    assert [path.suffix for path in folder.iterdir()] == [".wav"]


def test_ends_at_sigterm_in_the_middle_of_a_job(tmp_path):
    server = RunningServer("--speed", "inf", env={"TMPDIR": str(tmp_path)})
    job = server.submit(LONG, {"prompt": "a long walk through a neon city", "duration": "15"})
    server.until(job, lambda status: status["status"] != "IN_QUEUE")
    server.http.close()
    server.process.send_signal(signal.SIGTERM)
    server.process.communicate(timeout=20)
    assert server.process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_ends_with_its_parent_however_that_ends(tmp_path):
    program = textwrap.dedent(
        """
        import subprocess, sys, time
        command = [sys.executable, "-m", "kling_nb.local", "--parent", "--speed", "inf"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        print(child.stdout.readline().decode(), flush=True)
        time.sleep(60)
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    hello = json.loads(parent.stdout.readline())
    headers = {"Authorization": f"Key {hello['key']}"}
    job = {"prompt": "a long walk", "duration": "15"}
    url = f"{hello['url']}/fal-ai/kling-video/v3/pro/text-to-video"
    assert httpx.post(url, json=job, headers=headers, trust_env=False).status_code == 200
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not alive(hello["url"]))
    wait_for(lambda: list(tmp_path.iterdir()) == [])


def alive(url):
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com"])
def test_serves_this_machine_only(host):
    done = run("--host", host)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"The local preview server listens on this machine only, not on {host}.")


def test_says_that_a_port_is_taken(server):
    port = server.url.rpartition(":")[2]
    done = run("--port", port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Cannot listen on 127.0.0.1:{port}")
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    "flags",
    [("--speed", "0"), ("--speed", "-1"), ("--speed", "nan"), ("--speed", "fast"), ("--workers", "0")],
)
def test_refuses_flags_that_make_no_sense(flags):
    done = run(*flags)
    assert done.returncode == 2
    assert flags[0] in done.stderr


def test_listens_on_the_port_that_is_given(tmp_path: Path):
    with running("--speed", "inf") as first:
        port = first.url.rpartition(":")[2]
    with running("--speed", "inf", "--port", port) as second:
        assert second.url == f"http://127.0.0.1:{port}"
        assert second.http.get("/health").status_code == 200


def test_the_interrupts_of_a_kernel_do_not_reach_it_on_any_system():
    assert group_options("linux") == group_options("darwin") == {"start_new_session": True}
    (flags,) = group_options("win32").values()
    assert flags & 0x200  # CREATE_NEW_PROCESS_GROUP: Windows ignores `start_new_session`
    assert flags & 0x0800_0000  # CREATE_NO_WINDOW
