"""What the widgets share: how they open, show faults of observers, answer commands, and read files."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anywidget
from traitlets import TraitError

from kling_nb.errors import MediaError, UsageError
from kling_nb.notebook.card.job import Bundle
from kling_nb.notebook.card.mark import VIEW
from kling_nb.notebook.card.words import error_text
from kling_nb.notebook.ipykernel_quirks import has_viewer
from kling_nb.notebook.widgets.feed import BEAT, Channel, Feed

Answer = tuple[dict[str, Any], list[bytes]]
"""The `msg` of a reply, and its buffers."""

Handler = Callable[[dict[str, Any]], "Answer | Future[Any]"]
"""Does what a command asks, and returns the answer. It gets the command's `msg`."""

CHUNK_LIMIT = 4 * 1024 * 1024
"""Bytes of a file in one message."""

_INTERRUPTED = "The kernel was interrupted. %kling jobs lists what was submitted."


class LiveWidget(anywidget.AnyWidget):
    """A widget that opens only for a viewer, is updated by the feed, and shows the errors of its observers.

    A program that runs a notebook unattended saves every model that was ever opened, with its source. So the
    model opens only if someone may see it, or if another widget contains this one and reads `model_id`.

    An exception in an observer is shown in the views. Code that sets a trait gets the exception too.

    Threads: create it on the cell's thread. Commands may arrive on any thread (ipykernel 7.0 to 7.3 runs
    them on a subshell's). Updates are sent from the feed's thread.
    """

    _unopened = False
    _channel: Channel | None = None

    def _connect(self, feed: Feed) -> None:
        """Begin to answer commands and to send updates. Call it at the end of `__init__`."""
        self.on_msg(self._on_message)
        self._channel = feed.channel(self._send_updates)

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
        """Remove the views. Jobs go on."""
        self._unopened = False
        if self._channel:  # None if `__init__` failed
            self._channel.close()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return ({}, {}) if self._unopened else super()._repr_mimebundle_(**kwargs)

    def view_data(self) -> Bundle:
        """Return the live view for an output, without metadata; empty outside of a kernel."""
        drawn = LiveWidget._repr_mimebundle_(self) or {}
        data = drawn[0] if isinstance(drawn, tuple) else drawn
        return {VIEW: data[VIEW]} if VIEW in data else {}

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

    def _send_updates(self) -> bool:
        """Send one message with what is new; see `Send`. The feed's thread."""
        raise NotImplementedError

    def _notify(self) -> None:
        """Ask the feed for a turn, because something is new. Any thread."""
        if self._channel:
            self._channel.notify()

    def _beat(self, *, running: bool) -> None:
        """Ask for a turn in `BEAT` seconds if a job runs. Then a message is due, also if nothing is new.

        A page that hears nothing for three beats says that the kernel does not answer. Not every front end
        reports that a kernel has ended, and a page that asked would get no answer from a busy one.
        """
        if running and self._channel:
            self._channel.notify(after=BEAT)

    def _handlers(self, buffers: Sequence[Any]) -> Mapping[str, Handler]:
        """Return the handler of each kind of command. `buffers` are those of the command's message."""
        raise NotImplementedError

    def _on_message(self, _widget: Any, content: Any, buffers: Any) -> None:
        """Answer a view's command `{id, kind, msg}` with one "reply", also if the command is wrong."""
        command = content if isinstance(content, dict) else {}
        reply(self.send, command.get("id"), lambda: run_command(command, self._handlers(buffers or ())))


def run_command(command: Mapping[str, Any], handlers: Mapping[str, Handler]) -> Answer | Future[Any]:
    """Carry out a command `{kind, msg}`, and return its answer."""
    kind, msg = command.get("kind"), command.get("msg")
    handle = handlers.get(kind) if isinstance(kind, str) else None
    if handle is None:
        raise UsageError(f"Unknown command {kind!r}. Available: {', '.join(handlers)}.")
    return handle(msg if isinstance(msg, dict) else {})


def reply(send: Callable[..., None], number: Any, answer: Callable[[], Answer | Future[Any]]) -> None:
    """Send what `answer` returns or raises, to the command with this number.

    If it returns a future, send its result when it is done: an `Answer`, or the outcome as text.
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
    offset = whole_number("offset", msg.get("offset"), 0)
    length = whole_number("length", msg.get("length"), 1)
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


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number of a message, or raise `UsageError`."""
    if type(value) is not int or value < least or (most is not None and value > most):
        end = "on" if most is None else f"to {most}"
        raise UsageError(f"{name} is {value!r}. It must be a whole number from {least} {end}.")
    return value


class MadeFiles:
    """Files that are made for a page, which fetches them in pieces. They are gone after `close`.

    Args:
        prefix: Of the name of their temporary folder.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._folder: TemporaryDirectory[str] | None = None

    def piece(self, name: str, make: Callable[[Path], object], msg: Mapping[str, Any]) -> Answer:
        """Return a piece of a file, as `read_chunk`. The call for the first piece makes the file."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix=self._prefix)
        path = Path(self._folder.name) / name
        if not path.exists() or not msg.get("offset"):
            make(path)
        return read_chunk(path, msg)

    def close(self) -> None:
        """Delete the files."""
        if self._folder is not None:
            self._folder.cleanup()
