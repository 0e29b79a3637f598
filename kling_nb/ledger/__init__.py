"""The ledger: one row for every submission, durable before it is sent.

SQLite in the user's data folder, shared by all kernels of the user. `synchronous=FULL`, so a
committed row survives a power cut; WAL, but not on network file systems. It never holds a key,
only the short fingerprint of one.

Threads: a `Ledger` may be used from any thread; calls are serialised by a lock, and
between processes by SQLite.
"""

from kling_nb.ledger.entry import GONE, Entry, Intent, at_work
from kling_nb.ledger.limit import Limit
from kling_nb.ledger.owner import session_of_this_process
from kling_nb.ledger.selection import Selection
from kling_nb.ledger.spending import Spending
from kling_nb.ledger.store import Ledger
from kling_nb.ledger.upload import Upload

__all__ = [
    "GONE",
    "Entry",
    "Intent",
    "Ledger",
    "Limit",
    "Selection",
    "Spending",
    "Upload",
    "at_work",
    "session_of_this_process",
]
