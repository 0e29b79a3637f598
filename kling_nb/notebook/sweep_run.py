"""One run of a `%%kling --grid` cell."""

from __future__ import annotations

import asyncio

from kling_nb._sweep import CONCURRENCY, Sweep
from kling_nb.engine import wait_async
from kling_nb.errors import InputError, Interrupted, KlingError, UsageError
from kling_nb.notebook.alternatives import axes_of
from kling_nb.notebook.cell_run import CellRun, in_flags
from kling_nb.notebook.grid_flag import endpoint_of, grid_axes
from kling_nb.notebook.outputs import ShownSweep


class SweepRun:
    """Says the price of the whole, starts it, shows it, hands it over.

    Args:
        run: The cell, understood so far.
    """

    def __init__(self, run: CellRun) -> None:
        self._run = run

    def wait(self) -> None:
        """Run it and block until every cell has ended."""
        begun = self._begin()
        if begun is None:
            return
        study, shown = begun
        try:
            shown.wait(self._run.timeout)
        finally:
            shown.settle()
        study.wait()

    async def wait_async(self) -> None:
        """The same for `await`."""
        begun = self._begin()
        if begun is None:
            return
        study, shown = begun
        try:
            await study.wait_async(self._run.timeout)
        except asyncio.CancelledError:
            raise await _interrupted(study) from None
        finally:
            if study.done:
                await asyncio.to_thread(shown.settle)

    def _begin(self) -> tuple[Sweep, ShownSweep] | None:
        """Plan, say the price, submit and show it; None where nothing is to be waited for."""
        call, outputs = self._run.call, self._run.outputs
        try:
            study = self._planned()
        except InputError as fault:
            raise in_flags(fault) from None
        if call.dry_run:
            outputs.text(f"{dry(study)}\nNothing was sent.")
            return None
        study.check_frozen()
        if not call.quiet:
            outputs.text(study.price)
        self._run.assign(study.start())
        shown = outputs.show_sweep(study, quiet=call.quiet)
        return (study, shown) if call.wait else None

    def _planned(self) -> Sweep:
        run, call = self._run, self._run.call
        chosen, prompt = axes_of(run.body, run.fill)
        arguments = {name: value for name, value in run.arguments().items() if value is not None}
        endpoint = endpoint_of(call, run.session.endpoint)
        varied = grid_axes(call.grid or (), endpoint, arguments, run.picture)
        axes = (*chosen, *varied)
        if not axes:
            raise UsageError(
                "--grid: nothing varies here.",
                remedy="Name values, --grid duration=5,10, or give alternatives, {a red|a blue} fox."
                "\nNothing was sent.",
            )
        return run.session.sweep(
            prompt,
            axes=axes,
            concurrency=call.concurrency or CONCURRENCY,
            notebook=run.outputs.notebook,
            start=False,
            **arguments,
        )


def dry(study: Sweep) -> str:
    """What a sweep would do: its price, and a line for each cell."""
    lines = [study.price]
    for cell in study:
        pairs = zip(study.axes, cell.place, strict=True)
        values = " · ".join(f"{axis.name} {axis.labels[at]}" for axis, at in pairs)
        plan = cell.plan
        fate = "made before" if plan.found else "to make" if plan.submits else "under way"
        lines.append(f"  {cell.index + 1:3}  {fate:11}  {values}")
    return "\n".join(lines)


async def _interrupted(study: Sweep) -> KlingError:
    try:
        return await wait_async(study.spawn_interrupt())
    except asyncio.CancelledError:  # ■ twice
        return Interrupted(
            "Interrupted. What became of the cells under way is not known yet.", remedy="%kling jobs"
        )
