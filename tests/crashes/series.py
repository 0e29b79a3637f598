"""A series of kills. Each kernel first recovers the jobs of the one before, then works until it is killed.

`python -m crashes.series SEED KILLS` prints the counts.
"""

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kernel_environment import pointed_at
from running_kernel import RunningKernel
from scripted import Done, Log, Queue, Run, Script, ScriptedFal, sample_mp4

from kling_nb.events import State
from kling_nb.ledger import Ledger, Selection

from .point import POINTS, Point, Scene

RECOVER = """
import json, kling_nb
def end(job):
    try:
        job.wait(20)
        return "READY"
    except kling_nb.errors.KlingError as error:
        return type(error).__name__
prompts = {prompts!r}
resumed = [end(job) for job in kling_nb.resume()]
again = {{prompt: end(kling_nb.submit(prompt)) for prompt in prompts}}
for prompt in prompts:  # fal may list it only after the first look.
    if again[prompt] == "SubmissionUncertain":
        again[prompt] = end(kling_nb.submit(prompt))
print(json.dumps({{"resumed": resumed, "again": again}}))
"""
CELL = """%%kling
{prompt}"""
CALL = """import kling_nb
jobs = [kling_nb.submit(prompt) for prompt in {prompts!r}]
[job.wait() for job in jobs]"""
QUICK = Script([Queue(1), Run(), Log("Sampling 10%"), Log("Sampling 60%"), Done()])
RANDOM_SECONDS = 0.5
"""A job takes about as long from the start of its cell to its file."""


@dataclass
class Counts:
    """Counts of a series.

    Attributes:
        rows: Rows that were sent. A kernel that is killed between claim and POST leaves one that was never
            sent; the same request then gets a new row.
    """

    kills: int = 0
    jobs: int = 0
    accepted: int = 0
    duplicates: int = 0
    recovered: int = 0
    looked_up: int = 0
    unaccepted: int = 0
    lost: int = 0
    files: int = 0
    sidecars: int = 0
    rows: int = 0
    half_files: int = 0
    points: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def add(self, other: "Counts") -> None:
        """Add other counts to these."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Series:
    """One server, one ledger, one media folder, and kernels one after the other."""

    folder: Path
    fal: ScriptedFal
    kernel: RunningKernel
    counts: Counts = field(default_factory=Counts)
    _jobs: int = 0

    @property
    def scene(self) -> Scene:
        return Scene(self.fal, self.folder / "home" / "ledger.sqlite3", self.folder / "work" / "kling_media")

    def kill(self, name: str, chance: random.Random) -> None:
        """Start jobs, kill the kernel at the point, start another one, and count what it finds."""
        point = POINTS[name]
        prompts = [self._prompt() for _ in range(3 if point.exchange is None else 1)]
        self.kernel.ok("%load_ext kling_nb")
        before = len(self.fal.accepted)
        with point.held(self.scene) as reached:
            as_cell = len(prompts) == 1 and chance.random() < 0.5
            self.kernel.start(CELL.format(prompt=prompts[0]) if as_cell else CALL.format(prompts=prompts))
            reached()
            if point.exchange is None:
                time.sleep(chance.uniform(0.0, RANDOM_SECONDS))
            self.kernel.kill()
            unanswered = self._unanswered_prompts()
            sent = len(self.fal.accepted) - before  # More may be accepted after the block.
        self.kernel.restart()
        found = json.loads(self.kernel.ok(RECOVER.format(prompts=prompts)).text.splitlines()[-1])
        self.counts.kills += 1
        self.counts.points[name] += 1
        if point.exchange is not None and sent != int(point.accepted):
            self.counts.complaints.append(f"{name}: fal had accepted {sent} by then")
        for prompt in prompts:
            self._judge(name, point, prompt, found["again"][prompt], looked_up=prompt in unanswered)

    def _prompt(self) -> str:
        self._jobs += 1
        return f"crash {self._jobs} of a long series"

    def _unanswered_prompts(self) -> set[str]:
        """Return the prompts of jobs that were sent and whose request id the ledger does not have."""
        ledger = Ledger(self.scene.ledger)
        try:
            left = ledger.entries(Selection(unfinished=True), limit=-1)
        finally:
            ledger.close()
        return {entry.prompt for entry in left if entry.sent_at is not None and entry.request_id is None}

    def _judge(self, name: str, point: Point, prompt: str, end: str, *, looked_up: bool) -> None:
        counts = self.counts
        accepted = [job for job in self.fal.jobs if job.input.get("prompt") == prompt]
        counts.jobs += 1
        counts.accepted += len(accepted)
        counts.duplicates += max(0, len(accepted) - 1)
        if end == "READY" and accepted:
            counts.recovered += 1
            counts.looked_up += looked_up
        elif end == "SubmissionUncertain" and looked_up and not (accepted or point.answered):
            counts.unaccepted += 1
        else:
            counts.lost += 1
            counts.complaints.append(f"{name}: {end}, {len(accepted)} accepted")

    def on_disk(self) -> None:
        """Count files, sidecars and rows, and check that they belong together."""
        counts, media = self.counts, self.scene.media
        ledger = Ledger(self.scene.ledger)
        try:
            entries = ledger.entries(limit=100_000)
        finally:
            ledger.close()
        files = {path for path in media.glob("*.mp4") if not path.name.startswith(".")}
        stored = {json.loads(path.read_bytes())["request_id"] for path in media.glob("*.json")}
        ready = [entry for entry in entries if entry.state is State.READY]
        counts.rows += sum(entry.sent_at is not None for entry in entries)
        never_sent = [entry for entry in entries if entry.sent_at is None]
        if any(entry.state is not State.FAILED for entry in never_sent):
            counts.complaints.append("a row that was never sent was left open")
        counts.files += len(files)
        counts.sidecars += len(stored)
        counts.half_files += sum(path.read_bytes() != sample_mp4() for path in files)
        for entry in ready:
            if entry.request_id not in stored or Path(entry.media_path or "") not in files:
                counts.lost += 1
                counts.complaints.append(f"READY in the ledger, not on disk: {entry.prompt}")
        if len(files) != len(ready) or len(stored) != len(ready):
            counts.complaints.append(f"{len(ready)} rows READY, {len(files)} files, {len(stored)} sidecars")


@contextmanager
def series(folder: Path) -> Iterator[Series]:
    """Give a series that has not started. Its counts are complete after the block."""
    work = folder / "work"
    work.mkdir(parents=True)
    with ScriptedFal() as fal:
        fal.script = QUICK
        with RunningKernel(work, **pointed_at(fal, folder / "home")) as kernel:
            one = Series(folder, fal, kernel)
            yield one
            one.on_disk()


def main() -> None:
    seed, kills = int(sys.argv[1]), int(sys.argv[2])
    chance = random.Random(seed)
    names = [*POINTS, *["at random"] * (len(POINTS) // 2)]
    first = 5 * seed % len(names)  # So a few short series together have all points.
    names = names[first:] + names[:first]
    total = Counts()
    with tempfile.TemporaryDirectory(prefix="kling_nb-crashes-") as folder:
        while total.kills < kills:
            with series(Path(folder) / str(total.kills)) as one:
                for number in range(total.kills, min(kills, total.kills + 20)):
                    one.kill(names[number % len(names)], chance)
            total.add(one.counts)
    print(json.dumps(vars(total)))


if __name__ == "__main__":
    main()
