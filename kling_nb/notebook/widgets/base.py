"""What the widgets share: how they open, show faults of observers, answer commands, and read files."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
from traitlets import TraitError

from kling_nb.errors import MediaError, UsageError
from kling_nb.notebook.ipykernel_quirks import has_viewer
from kling_nb.notebook.widgets.feed import BEAT, Channel
from kling_nb.notebook.widgets.takes import error_text

Answer = tuple[dict[str, Any], list[bytes]]
"""The `msg` of a reply, and its buffers."""

Handler = Callable[[dict[str, Any]], "Answer | Future[Any]"]
"""Does what a command asks, and returns the answer. It gets the command's `msg`."""

CHUNK_LIMIT = 4 * 1024 * 1024
"""Bytes of a file in one message."""

_INTERRUPTED = "The kernel was interrupted. %kling jobs lists what was submitted."


class LiveWidget(anywidget.AnyWidget):
    """A widget that opens only for a viewer, and shows the errors of its observers.

    A program that runs a notebook unattended saves every model that was ever opened, with its source. So the
    model opens only if someone may see it, or if another widget contains this one and reads `model_id`.

    An exception in an observer is shown in the views. Code that sets a trait gets the exception too.
    """

    _unopened = False

    def open(self) -> None:
        """Open the model in the front end, if someone may see it."""
        if has_viewer():
            super().open()
        else:
            self._unopened = True

    @property
    def model_id(self) -> str:
        """The front end's id of the model. Reading it opens the model."""
        if self._unopened:
            self._unopened = False
            super().open()
        return str(super().model_id)

    def close(self) -> None:
        """Remove the views."""
        self._unopened = False
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return ({}, {}) if self._unopened else super()._repr_mimebundle_(**kwargs)

    def notify_change(self, change: Any) -> None:
        """Call the observers of a trait, and show the exception if one raises."""
        try:
            super().notify_change(change)
        except Exception as error:
            self._show_fault(f"An observer of `{change['name']}` raised {error_text(error)}")
            raise

    def _set_traits(self, **values: Any) -> None:
        """Set traits where no caller could handle an observer's exception. All other traits are still set."""
        for name, value in values.items():
            try:
                self.set_trait(name, value)
            except TraitError:
                raise
            except Exception:  # noqa: BLE001, S112 -- the views show it
                continue

    def _show_fault(self, fault: str) -> None:
        """Show an observer's exception in the views. Any thread."""
        raise NotImplementedError

    @staticmethod
    def _beat(channel: Channel | None, *, running: bool) -> None:
        """Ask for a turn in `BEAT` seconds if a job runs. Then a message is due, also if nothing is new.

        A page that hears nothing for three beats says that the kernel does not answer. Not every front end
        reports that a kernel has ended, and a page that asked would get no answer from a busy one.
        """
        if running and channel is not None:
            channel.notify(after=BEAT)


def answer_command(send: Callable[..., None], content: Any, handlers: Mapping[str, Handler]) -> None:
    """Answer a view's command `{id, kind, msg}` with one "reply", also if the command is wrong.

    Args:
        send: The widget's `send`.
        content: The command as it came.
        handlers: A handler for each kind of command.
    """
    command = content if isinstance(content, dict) else {}
    kind = command.get("kind")
    msg = command["msg"] if isinstance(command.get("msg"), dict) else {}

    def answer() -> Answer | Future[Any]:
        if not isinstance(kind, str) or kind not in handlers:
            raise UsageError(f"Unknown command {kind!r}. Available: {', '.join(handlers)}.")
        return handlers[kind](msg)

    reply(send, command.get("id"), answer)


def reply(send: Callable[..., None], number: Any, answer: Callable[[], Answer | Future[Any]]) -> None:
    """Send what `answer` returns or raises. If it returns a future, send the result when it is done.

    Args:
        send: The widget's `send`.
        number: The command's id.
        answer: Does what was asked. The result of a future is an `Answer`, or the outcome as text.
    """
    try:
        result = answer()
        if isinstance(result, Future):
            context = copy_context()  # of the command: see `Channel`
            result.add_done_callback(
                lambda done: context.run(reply, send, number, lambda: _answer_of(done.result()))
            )
            return
    except KeyboardInterrupt:  # ■ during a handler: the view must not wait for ever
        send({"id": number, "kind": "reply", "ok": False, "msg": {"error": _INTERRUPTED}})
        raise
    except Exception as error:  # noqa: BLE001 -- a command is always answered
        send({"id": number, "kind": "reply", "ok": False, "msg": {"error": error_text(error)}})
        return
    msg, buffers = result
    send({"id": number, "kind": "reply", "ok": True, "msg": msg}, buffers)


def _answer_of(result: Any) -> Answer:
    return result if isinstance(result, tuple) else ({"outcome": result}, [])


@cache
def poster_thread() -> ThreadPoolExecutor:
    """Return the threads that decode posters. A page asks for many at once, and cells must not wait."""
    return ThreadPoolExecutor(min(4, os.cpu_count() or 1), "kling-posters")


def read_chunk(path: Path, msg: Mapping[str, Any]) -> Answer:
    """Return `length` bytes of a file from `offset` on, as one buffer; fewer at the end of the file.

    Args:
        path: The file.
        msg: The command's `{"offset": …, "length": …}`, as it came.

    Returns:
        `offset`, `total` (bytes of the file), `content_type`, `name` (of the file); and the bytes.

    Raises:
        UsageError: Offset or length are no whole numbers, or out of range.
        MediaError: The file cannot be read.
    """
    offset, length = _whole_number(msg, "offset", 0), _whole_number(msg, "length", 1)
    if length > CHUNK_LIMIT:
        raise UsageError(f"length is {length}. One message has at most {CHUNK_LIMIT} bytes.")
    try:
        with path.open("rb") as file:
            total = file.seek(0, 2)
            file.seek(offset)
            piece = file.read(length)
    except OSError as error:
        raise MediaError(f"{path.name} cannot be read: {error.strerror}.") from error
    content_type = mimetypes.guess_type(path.name)[0] or "video/mp4"
    about = {"offset": offset, "total": total, "content_type": content_type, "name": path.name}
    return about, [piece]


def _whole_number(msg: Mapping[str, Any], name: str, least: int) -> int:
    value = msg.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} is {value!r}. It must be a whole number from {least} on.")
    return value
