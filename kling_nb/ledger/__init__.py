"""The ledger: one row for each submission, on the disk before the request is sent.

It is an SQLite file in the user's data folder, shared by all kernels of the user. With `synchronous=FULL` a
committed row survives a power cut. It uses WAL, but not on network file systems. It has no key, only the
short fingerprint of one.

Threads: a `Ledger` may be used from any thread. A lock keeps threads apart, SQLite does it for
processes.
"""

from kling_nb.ledger.ledger import Ledger
from kling_nb.ledger.limits import Limit, Spending
from kling_nb.ledger.owner import session_of_this_process
from kling_nb.ledger.schema import GONE, Entry, Intent, Selection, Upload, at_work

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
