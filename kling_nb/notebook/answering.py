"""Commands of views, `{id, kind, msg}`: each is answered by one "reply", whatever comes of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from kling_nb.notebook.takes import words

Answer = tuple[dict[str, Any], list[bytes]]
"""What a reply says, and the bytes beside it."""

_INTERRUPTED = "The kernel was interrupted meanwhile. %kling jobs lists what was submitted."


def reply(send: Callable[..., None], number: Any, answer: Callable[[], Answer | Future[Any]]) -> None:
    """Send what `answer` gives, or what it raises; where it gives a future, as soon as that is done.

    Args:
        send: Of the widget.
        number: Of the command.
        answer: Does what was asked. A future may give the outcome in words instead of an `Answer`.
    """
    try:
        given = answer()
        if isinstance(given, Future):
            given.add_done_callback(lambda done: reply(send, number, lambda: _whole(done.result())))
            return
    except KeyboardInterrupt:  # ■ while a handler was at work: the view must not wait for ever
        send({"id": number, "kind": "reply", "ok": False, "msg": {"error": _INTERRUPTED}})
        raise
    except Exception as error:  # noqa: BLE001 -- a command is always answered
        send({"id": number, "kind": "reply", "ok": False, "msg": {"error": words(error)}})
        return
    msg, buffers = given
    send({"id": number, "kind": "reply", "ok": True, "msg": msg}, buffers)


def _whole(given: Any) -> Answer:
    return given if isinstance(given, tuple) else ({"outcome": given}, [])
