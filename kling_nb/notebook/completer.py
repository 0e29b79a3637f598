"""Registers tab completion with a shell; what it offers is loaded when Tab is pressed."""

from __future__ import annotations

from typing import Any


class Completer:
    """The completers of one shell, under the first word of a line."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def install(self) -> None:
        """Register them."""
        self._shell.set_hook("complete_command", self._cell, str_key="%%kling")
        self._shell.set_hook("complete_command", self._line, str_key="%kling")

    def remove(self) -> None:
        """Take them back; IPython has no call for that."""
        for word in ("%%kling", "%kling"):
            self._shell.strdispatchers["complete_command"].strs.pop(word, None)

    def _cell(self, shell: Any, event: Any) -> list[str]:
        from kling_nb.notebook.completion import cell_candidates, fitting  # noqa: PLC0415 -- at the first Tab

        return fitting(event, cell_candidates)

    def _line(self, shell: Any, event: Any) -> list[str]:
        from kling_nb.notebook.completion import fitting, line_candidates  # noqa: PLC0415 -- at the first Tab

        return fitting(event, line_candidates)
