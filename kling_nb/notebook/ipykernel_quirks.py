"""Uses of private interfaces of ipykernel and IPython, with versions, tests, and when they can be removed.

- `CellParent`: `Kernel._parent_ident`, `set_parent` (ipykernel 7.4). Test: Run All with widgets in
  `tests/kernel/test_cells.py`. Remove it when ipykernel restores the parent of the cell that it runs.
- `AwaitedCells`: the transformed text of a cell magic, the frame `run_cell_async` (IPython 8.18 to 9.18).
  Test: Cancel while a cell waits in `tests/kernel/test_cells.py`. Remove it when cell magics may be
  coroutines.
- `has_viewer`: `Kernel._allow_stdin` (ipykernel 6.29 to 7.4). Test: nbclient saves no model of kling_nb in
  `tests/kernel/test_reproducible.py`. Remove it when kernels know if someone sees their outputs.
- `set_last_output`: `displayhook.update_user_ns` (IPython 8.18 to 9.18). Test: `_` and `Out` in
  `tests/kernel/test_cells.py`. Remove it when a magic can return a value that is not displayed.
- `PlainErrors`: `InteractiveShell.custom_exceptions`, `_last_traceback` (ipykernel 6.29 to 7.4). Test: an
  interrupted cell in `tests/kernel/test_cells.py`. Remove it when an exception can say that it is no fault.
- `add_completer`, `remove_completer`, `remove_magics`: `Completer.custom_matchers`, `strdispatchers`,
  `magics_manager.magics` (IPython 7.34 to 9.18). Test: `%unload_ext` in `tests/unit/test_completion.py`.
  Remove them when IPython can register completers with types, and unregister both.

`background.py` has three more, which must work without the extension. It wakes its loop, because ipykernel 7
does not do so when it interrupts (`TICK_SECONDS`). It looks for the frame of `InteractiveShell.run_code` to
find out if an interrupt ends a cell. It looks for a callback of `IPythonKernel._cancel_on_sigint` (ipykernel
6.29 to 7.4) to find out if ■ cancelled an `await`, and for what the cell gathers (`Task._fut_waiter` and
`_children` of asyncio); test: `await job` in `tests/kernel/test_cells.py`. While a wait nests, it takes the
callbacks off that future (`Future._callbacks`), so that ■ ends the wait and not the task of the cell; test:
`tests/faults/test_interrupts.py`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

from IPython.core import completer
from IPython.core.getipython import get_ipython


class CellParent:
    """Restores the parent request of a cell, in spite of widget messages that came while the cell waited.

    ipykernel 7.4 handles a widget's message while an awaited cell waits, and then restores the parent from
    before the message (`Kernel.shell_main`). If the cell has ended and the next cell has started, that is the
    parent of the wrong cell. The `idle` of the next cell then names the cell before, and the notebook shows
    `[*]` for ever. All shell messages share one context, so only the kernel could know better.

    The request is stored when the text of the cell is transformed, because no message is handled before that.
    It is restored at `post_run_cell`, just before the kernel reports the end of the cell. `post_execute` is
    not usable, because it follows widget messages too.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._own: tuple[Any, dict[str, Any]] | None = None

    def install(self) -> None:
        """Register with the shell."""
        self._shell.input_transformers_post.append(self.note)
        self._shell.events.register("post_run_cell", self.put_back)

    def remove(self) -> None:
        """Unregister."""
        self._shell.input_transformers_post.remove(self.note)
        self._shell.events.unregister("post_run_cell", self.put_back)

    def note(self, lines: list[str]) -> list[str]:
        """Store the request of the cell. Code that is only checked for completeness has another type."""
        kernel = self._shell.kernel
        if (idents := getattr(kernel, "_parent_ident", None)) is None:
            return lines  # another kernel than ipykernel, which does not have this problem
        parent = kernel.get_parent("shell")
        if parent.get("header", {}).get("msg_type") == "execute_request":
            self._own = idents["shell"], parent
        return lines

    def put_back(self, result: Any) -> None:
        """Make the stored request the parent, if it is not."""
        own, self._own = self._own, None
        if own is not None and self._shell.kernel.get_parent("shell") is not own[1]:
            self._shell.kernel.set_parent(*own, channel="shell")


_CALL = "get_ipython().run_cell_magic('kling', "
_AWAITED = "await get_ipython().magics_manager.registry['KlingMagics'].cell_async("


class AwaitedCells:
    """Makes the `%%kling` cells of one shell awaited cells, so that widget messages arrive while they wait.

    With a blocking magic, Cancel in the widget is handled only after the cell (measured with ipykernel 7.4:
    at 2.0 s instead of 0.7 s). So an input transformer turns the cell into `await …`. It must not do so
    inside a running cell: `%%time` and `%%capture` compile their body themselves, and `await` is an error
    there. The events `pre_run_cell` and `post_run_cell` count running cells.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._executing = 0

    def install(self) -> None:
        """Register with the shell of a kernel. A terminal has no widgets and does not need it."""
        self._shell.events.register("pre_run_cell", self._begin)
        self._shell.events.register("post_run_cell", self._end)
        self._shell.input_transformers_post.append(self.rewrite)
        self._executing = int(_inside_a_cell())  # the cell of `%load_ext` started before the registration

    def remove(self) -> None:
        """Unregister."""
        self._shell.events.unregister("pre_run_cell", self._begin)
        self._shell.events.unregister("post_run_cell", self._end)
        self._shell.input_transformers_post.remove(self.rewrite)

    def _begin(self, info: Any) -> None:
        self._executing += 1

    def _end(self, result: Any) -> None:
        self._executing = max(0, self._executing - 1)

    def rewrite(self, lines: list[str]) -> list[str]:
        """Return the lines of a cell, with a leading `%%kling` call awaited."""
        if self._executing or not self._shell.autoawait or not lines or not lines[0].startswith(_CALL):
            return lines
        return [_AWAITED + lines[0].removeprefix(_CALL), *lines[1:]]


class PlainErrors:
    """Shows some exceptions as text, not as a red block. The cell still fails, so that Run All stops.

    The user caused them, by ■ or Cancel, and the card above says so. IPython has room for one such handler,
    and keeps that of the user.
    """

    def __init__(
        self, shell: Any, kinds: tuple[type[BaseException], ...], show: Callable[[str], None]
    ) -> None:
        self._shell, self._kinds, self._show = shell, kinds, show

    def install(self) -> None:
        """Handle the exceptions."""
        if not self._shell.custom_exceptions:
            self._shell.set_custom_exc(self._kinds, self._handle)

    def remove(self) -> None:
        """Leave the exceptions to IPython again."""
        if self._shell.custom_exceptions == self._kinds:
            self._shell.set_custom_exc((), None)

    def _handle(self, shell: Any, _kind: Any, error: Any, _frames: Any, tb_offset: Any = None) -> list[str]:
        self._show(str(error))
        # Of the reply, for nbclient and others.
        shell._last_traceback = error._render_traceback_()  # noqa: SLF001
        return []


def _inside_a_cell() -> bool:
    """Return True if the shell runs a cell. A configuration file can load the extension outside of cells."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "run_cell_async":
            return True
        frame = frame.f_back
    return False


CARDS_ONLY = "KLING_NB_CARDS_ONLY"
"""Set to 1 if pages cannot load widgets. The server extension sets it for kernels on its machine."""


def has_viewer() -> bool:
    """Return True if someone may see the outputs of the cell that runs, and widgets in them.

    A page whose Content-Security-Policy forbids `blob:` scripts shows an error in place of each widget.
    Programs that run a notebook unattended (nbclient, papermill) accept no questions (`input()`), and would
    save the model and the source of every widget. Voilà accepts none either, but shows the notebook.
    """
    if os.environ.get(CARDS_ONLY) == "1":
        return False
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", True)) or any(
        name.startswith("VOILA_") for name in os.environ
    )


def set_last_output(shell: Any, value: Any) -> None:
    """Make a value `_` and an entry of `Out`, as if the cell ended with it, without displaying it."""
    shell.displayhook.update_user_ns(value)


Matches = Callable[[str], "tuple[str, list[tuple[str, str]]] | None"]
"""Returns the word at the cursor and the candidates with their types; None for a line of others."""


def add_completer(shell: Any, matches: Matches) -> None:
    """Let `matches` complete the lines that it knows. Front ends show the types of the candidates."""
    remove_completer(shell)
    if not hasattr(completer, "context_matcher"):  # IPython before 8.6, as in Colab
        add_old_completer(shell, matches)
        return

    @completer.context_matcher(identifier=_MATCHER, priority=200)  # type: ignore[untyped-decorator]
    def matcher(context: Any) -> Any:
        found = matches(context.text_until_cursor)
        if found is None:
            return {"completions": []}
        word, candidates = found
        return {
            "completions": [completer.SimpleCompletion(text, type=kind) for text, kind in candidates],
            "matched_fragment": word,
            "suppress": True,  # there is no Python on these lines
            "ordered": True,
        }

    shell.Completer.custom_matchers.append(matcher)


def add_old_completer(shell: Any, matches: Matches) -> None:
    """Do it in IPython before 8.6: candidates have no types, and begin with the last part of the word."""

    def complete(_: Any, event: Any) -> list[str]:
        word, candidates = matches(event.text_until_cursor) or ("", [])
        return [text[len(word) - len(event.symbol) :] for text, _ in candidates]

    for magic in _MAGICS:
        shell.set_hook("complete_command", complete, str_key=magic)


def remove_completer(shell: Any) -> None:
    """Remove what `add_completer` has added."""
    found = shell.Completer.custom_matchers
    found[:] = [one for one in found if getattr(one, "matcher_identifier", "") != _MATCHER]
    for magic in _MAGICS:
        shell.strdispatchers["complete_command"].strs.pop(magic, None)


_MATCHER, _MAGICS = "kling_nb", ("%%kling", "%kling")


def remove_magics(shell: Any, name: str, registered: str) -> None:
    """Remove a line and cell magic, and the class that was registered for them."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(name, None)
    shell.magics_manager.registry.pop(registered, None)
