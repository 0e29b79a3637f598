"""Lets each cell end under its own request, whatever widget messages came while it was awaited.

ipykernel 7.4 handles a widget's message while an awaited cell waits, and afterwards puts back the parent
that it found (`Kernel.shell_main`). When the cell has ended meanwhile and the next one has begun, that is
the parent of the wrong cell: the next cell's `idle` then names the one before, and the notebook shows
`[*]` for ever. All shell messages share one context, so nothing but the kernel itself can know better.

The request is taken down when the cell's text is transformed, which happens before anything can come
between, and put back at `post_run_cell`, just before the kernel says that the cell has ended
(`post_execute` comes after widget messages too).
"""

from __future__ import annotations

from typing import Any


class CellParent:
    """Keeps the request of the cell that is being executed, for one kernel's shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._own: tuple[Any, dict[str, Any]] | None = None

    def install(self) -> None:
        """Begin to watch."""
        self._shell.input_transformers_post.append(self.note)
        self._shell.events.register("post_run_cell", self.put_back)

    def remove(self) -> None:
        """Stop watching."""
        self._shell.input_transformers_post.remove(self.note)
        self._shell.events.unregister("post_run_cell", self.put_back)

    def note(self, lines: list[str]) -> list[str]:
        """Take down whose text this is. Code is also transformed to see whether it is complete."""
        kernel = self._shell.kernel
        if (idents := getattr(kernel, "_parent_ident", None)) is None:
            return lines  # not ipykernel's: other kernels have no such trouble
        parent = kernel.get_parent("shell")
        if parent.get("header", {}).get("msg_type") == "execute_request":
            self._own = idents["shell"], parent
        return lines

    def put_back(self, result: Any) -> None:
        """Make it the parent again, where it is not."""
        own, self._own = self._own, None
        if own is not None and self._shell.kernel.get_parent("shell") is not own[1]:
            self._shell.kernel.set_parent(*own, channel="shell")
