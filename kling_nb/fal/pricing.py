"""fal's own price of an endpoint (FAL-PROTOCOL §12.2): one figure, for its default settings."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from kling_nb.fal.http import Http
from kling_nb.fal.refusals import from_response
from kling_nb.fal.replies import json_object


@dataclass(frozen=True, slots=True)
class LivePrice:
    """What fal asks for a unit.

    Attributes:
        usd: Price of one unit; in `currency` where that is not USD.
        unit: fal's word for the unit, such as "seconds" or "videos".
        currency: Three letters.
    """

    usd: float
    unit: str
    currency: str

    def __str__(self) -> str:
        amount = f"${self.usd:g}" if self.currency == "USD" else f"{self.usd:g} {self.currency}"
        return f"{amount} per {self.unit.removesuffix('s')}"


async def live_price(http: Http, endpoint_id: str) -> LivePrice:
    """Ask the platform API. It needs a key.

    Raises:
        ResponseError: Refused, or fal has no price for it.
        UnreachableError: No answer.
    """
    url = f"{http.hosts.api.rstrip('/')}/v1/models/pricing?endpoint_id={quote(endpoint_id, safe='')}"
    answer = await http.exchange("GET", url)
    data = json_object(answer.content) or {}
    entries = data.get("prices")
    if answer.is_success and isinstance(entries, list):
        for entry in entries:
            if isinstance(entry, dict) and entry.get("endpoint_id") == endpoint_id:
                amount = entry.get("unit_price")
                if isinstance(amount, (int, float)):
                    return LivePrice(
                        float(amount), str(entry.get("unit") or "unit"), str(entry.get("currency") or "USD")
                    )
    raise from_response(answer.status_code, answer.headers, answer.content, what="Asking for the price")
