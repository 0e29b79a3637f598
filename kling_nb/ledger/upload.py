"""What the ledger knows an upload by, and how long its address may be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload: two that are equal have the same address, for a while.

    Attributes:
        sha256: Of the content; empty where it is not known yet.
        content_type: MIME type it was declared with.
        host: REST host that took it.
        account: Fingerprint of the key, or an empty text. Also tells one run of the embedded
            engine, whose files are gone with it, from the next.
        lifecycle: Seconds that it was to be kept for; 0 leaves that to the account.
    """

    sha256: str
    content_type: str
    host: str
    account: str
    lifecycle: int = 0

    DAY: ClassVar[float] = 86_400.0
    """Longest use of an address. How long an account keeps files is not known here (FAL-PROTOCOL §9.5)."""

    WHERE: ClassVar[str] = "sha256 = ? AND content_type = ? AND host = ? AND account = ? AND lifecycle = ?"

    ALIKE: ClassVar[str] = (
        "content_type = ? AND host = ? AND account = ? AND lifecycle = ? AND (size = ? OR size IS NULL)"
    )

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """Values for `WHERE`, and the first columns of a row."""
        return self.sha256, self.content_type, self.host, self.account, self.lifecycle

    def expires(self, uploaded_at: float) -> float | None:
        """Unix seconds of the end of the file, or None where only the account knows."""
        return uploaded_at + self.lifecycle if self.lifecycle else None

    def usable(self, uploaded_at: float, now: float) -> bool:
        """Whether the address may be used again.

        Only for the first half of the file's life: a job may wait in the queue before it fetches it.
        """
        age = now - uploaded_at
        return 0 <= age < min(self.DAY, self.lifecycle / 2 if self.lifecycle else self.DAY)
