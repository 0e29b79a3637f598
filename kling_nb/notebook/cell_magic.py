"""`%%kling` as the shell calls it: a function whose help is made from the endpoint in use."""

from __future__ import annotations

from kling_nb.notebook.magic import KlingMagics


class CellMagic:
    """Callable as `run_cell_magic` calls it. Its docstring, which `%%kling?` shows, is made when read."""

    _ipython_magic_no_var_expand = True  # the braces of --set are JSON's; we fill in variables ourselves

    def __init__(self, magics: KlingMagics) -> None:
        self._magics = magics

    def __call__(self, line: str, cell: str) -> None:
        """Run the cell."""
        self._magics.cell(line, cell)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        from kling_nb._default import default_session  # noqa: PLC0415 -- when help is asked for
        from kling_nb.notebook.cell_help import cell_help  # noqa: PLC0415 -- as above

        return cell_help(default_session().endpoint(fetch=False))
