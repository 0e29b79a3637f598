"""The receiver of docs/webhooks.md, as it stands there, against the server and the command line."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
from fenced import ROOT, blocks


def test_the_receiver_of_the_page(server, tmp_path):
    [source] = [one.text for one in blocks(ROOT / "docs" / "webhooks.md") if one.head == "# receiver.py"]
    (tmp_path / "receiver.py").write_text(source, encoding="utf-8")
    fal = {
        "KLING_NB_BACKEND": "fal",
        "KLING_NB_QUEUE_URL": server.url,
        "KLING_NB_REST_URL": server.url,
        "KLING_NB_API_URL": server.url,
        "KLING_NB_HOME": str(tmp_path / "home"),
        "FAL_KEY": server.key,
    }
    receiver = subprocess.Popen(
        [sys.executable, str(tmp_path / "receiver.py"), "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "KLING_NB_REST_URL": server.url},
        text=True,
    )
    try:
        hello = receiver.stdout.readline()
        url = f"http://127.0.0.1:{hello.split()[-1]}/"
        assert httpx.post(url, content=b"{}", trust_env=False).status_code == 401
        assert "lacks the header" in receiver.stdout.readline()
        command = [sys.executable, "-m", "kling_nb.cli", "generate", "a paper boat", "--duration", "5"]
        made = subprocess.run(
            [*command, "--quiet", "--webhook", url],
            cwd=tmp_path,
            env={**os.environ, **fal},
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        assert Path(made.stdout.strip()).is_file()
        line = next(line for line in receiver.stdout if "http" in line)  # after the remedy of the refused one
        request_id, video = line.split()
        assert server.http.get(f"/fal-ai/kling-video/requests/{request_id}").json()["video"]["url"] == video
    finally:
        receiver.kill()
        receiver.communicate()
