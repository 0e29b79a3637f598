"""The OpenAPI document of an endpoint. It is public, so no key goes along (FAL-PROTOCOL §12.6)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from kling_nb.fal.hosts import Hosts
from kling_nb.fal.http import Http, unreachable
from kling_nb.fal.patience import Patience
from kling_nb.fal.retry import Retry

LARGEST = 4 * 2**20
"""Bytes. Documents have about 20 kB."""

_TWICE = Retry(attempts=2, cap=3.0)
"""Somebody waits at the keyboard, and there may be a stored document to go on with."""


async def fetch_document(hosts: Hosts, endpoint_id: str, *, patience: Patience | None = None) -> Any:
    """The document of one endpoint, parsed; None where fal knows no endpoint of that id.

    Args:
        hosts: Whom to ask: their `schema`.
        endpoint_id: The full id.
        patience: How long to wait.

    Raises:
        UnreachableError: No answer, or one that is no document.
    """
    query = f"endpoint_id={quote(endpoint_id, safe='')}"
    url = f"{hosts.schema.rstrip('/')}/api/openapi/queue/openapi.json?{query}"
    http = Http(hosts, lambda: None, retry=_TWICE, patience=patience)
    try:
        answer = await http.exchange("GET", url)
    finally:
        await http.aclose()
    if answer.status_code == 404:
        return None
    if not answer.is_success:
        raise unreachable(url, RuntimeError(f"it answers {answer.status_code}"))
    if len(answer.content) > LARGEST:
        raise unreachable(url, RuntimeError(f"its document has {len(answer.content):,} bytes"))
    try:
        return answer.json()
    except (ValueError, RecursionError) as fault:
        raise unreachable(url, RuntimeError("its answer is not JSON")) from fault
