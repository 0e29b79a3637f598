"""A real Jupyter kernel, as a test holds it: run cells, interrupt, restart, speak to widgets."""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any, Self

from jupyter_client.manager import KernelManager

PATIENCE = 40.0


@dataclass
class Cell:
    """What one executed cell has shown.

    Attributes:
        reply: Content of the execute_reply: "status", and for errors "ename", "evalue", "traceback".
        text: What it printed.
        displays: Data of display_data and results, later updates applied.
    """

    id: str
    reply: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    displays: list[dict[str, Any]] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    done: bool = False

    @property
    def ok(self) -> bool:
        return self.reply.get("status") == "ok"

    @property
    def message(self) -> str:
        """The error as the user sees it; of an interrupt or a cancel, what was printed."""
        return "\n".join(self.error["traceback"]) if self.error else "" if self.ok else self.text

    def html(self) -> str:
        return "\n".join(display.get("text/html", "") for display in self.displays)


class RunningKernel:
    """A kernel in a working folder of its own. Use it in a `with` block.

    Args:
        folder: Working folder.
        environment: Added to this process's.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._manager = KernelManager(kernel_name="python3")
        self._cells: dict[str, Cell] = {}
        self._display_ids: dict[str, tuple[Cell, int]] = {}
        self.published: dict[str, list[dict[str, Any]]] = {}  # metadata of all publications of a display id
        self.comms: dict[str, dict[str, Any]] = {}
        self.comm_messages: list[tuple[str, dict[str, Any]]] = []
        self._left: set[str] = set()

    def __enter__(self) -> Self:
        self._manager.start_kernel(cwd=str(self._folder), env=self._environment)
        self._connect()
        return self

    def _connect(self) -> None:
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE)

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    # -- running cells

    def start(self, code: str, *, allow_stdin: bool | None = None) -> Cell:
        """Send a cell and return at once."""
        cell = Cell(self._client.execute(code, allow_stdin=allow_stdin))
        self._cells[cell.id] = cell
        return cell

    def run(self, code: str, timeout: float = PATIENCE) -> Cell:
        """Run a cell to its end."""
        return self.finish(self.start(code), timeout)

    def finish(self, cell: Cell, timeout: float = PATIENCE) -> Cell:
        """Wait for a cell's end."""
        self.wait_until(lambda: cell.done, timeout)
        while not cell.reply:
            message = self._client.get_shell_msg(timeout=timeout)
            other = self._cells.get(message["parent_header"].get("msg_id", ""))
            if other is not None and message["msg_type"] == "execute_reply":
                other.reply = message["content"]
        return cell

    def ok(self, code: str) -> Cell:
        """Run a cell that must not fail."""
        cell = self.run(code)
        assert cell.ok, cell.message or cell.reply
        return cell

    def value(self, expression: str) -> str:
        """`str` of an expression in the kernel."""
        return self.ok(f"print({expression}, end='')").text

    def wait_until(self, condition: Any, timeout: float = PATIENCE) -> None:
        """Read the kernel's messages until `condition()` holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"did not come within {timeout} s"
            try:
                self._take(self._client.get_iopub_msg(timeout=min(left, 0.1)))
            except Empty:
                continue

    def move(self, folder: Path, **environment: str) -> None:
        """Reset the kernel: another folder and environment, and no variables, like a new kernel."""
        start = f"os.chdir({str(folder)!r})\nget_ipython().starting_dir = os.getcwd()\n"
        forget = "from kling_nb import front_end\nfront_end._named.clear()\n"
        self.ok(f"import os\n{start}{forget}os.environ.update({environment!r})")
        self.ok("%reset -f")
        self._left |= self.comms.keys()  # what their jobs still say is no business of the next test
        self._cells.clear()
        self.comms.clear()
        self.comm_messages.clear()

    # -- control

    @property
    def asks(self) -> bool:
        """Whether a cell waits for an answer (`input`, `getpass`)."""
        return bool(self._client.stdin_channel.msg_ready())

    def answer(self, text: str) -> None:
        """Type it where a cell asks."""
        self._client.get_stdin_msg(timeout=PATIENCE)
        self._client.input(text)

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._manager.provisioner.pid

    def kill(self) -> None:
        """SIGKILL, as the system does it that has no memory left. `restart` brings a new one."""
        os.kill(self.pid, signal.SIGKILL)
        self._manager.provisioner.process.wait()  # until then it may still write

    def restart(self) -> None:
        """As the menu's Restart: the process is killed and a new one started."""
        self._client.stop_channels()
        self._manager.restart_kernel(now=True)
        self._connect()

    def send(self, comm_id: str, content: dict[str, Any]) -> None:
        """A custom message to a widget, as its view sends it."""
        data = {"method": "custom", "content": content}
        message = self._client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self._client.shell_channel.send(message)

    def received(self, comm_id: str) -> list[dict[str, Any]]:
        """Custom messages of a widget to its views."""
        return [
            data["content"]
            for sender, data in self.comm_messages
            if sender == comm_id and data.get("method") == "custom"
        ]

    # -- messages

    def _take(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        cell = self._cells.get(message["parent_header"].get("msg_id", ""))
        if kind == "comm_open":
            self.comms[content["comm_id"]] = content["data"].get("state", {})
        elif kind == "comm_msg":
            if content["comm_id"] in self._left:
                return
            self.comm_messages.append((content["comm_id"], content["data"]))
        elif kind == "update_display_data":
            self._update(content)
        elif cell is None:
            return
        elif kind == "stream":
            cell.text += content["text"]
        elif kind in {"display_data", "execute_result"}:
            self._display(cell, content)
        elif kind == "error":
            cell.error = content
        elif kind == "status" and content["execution_state"] == "idle":
            cell.done = True

    def _display(self, cell: Cell, content: dict[str, Any]) -> None:
        cell.displays.append(content["data"])
        cell.metadata.append(content["metadata"])
        display_id = content.get("transient", {}).get("display_id")
        if display_id:
            self.published.setdefault(display_id, []).append(content["metadata"])
            self._display_ids[display_id] = (cell, len(cell.displays) - 1)

    def _update(self, content: dict[str, Any]) -> None:
        display_id = content["transient"]["display_id"]
        self.published[display_id].append(content["metadata"])
        cell, at = self._display_ids[display_id]
        cell.displays[at], cell.metadata[at] = content["data"], content["metadata"]
