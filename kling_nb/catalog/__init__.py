"""The endpoints that can be asked for, and what each of them takes.

The JSON Schema of an endpoint is the single source: flags, completion, help,
controls, validation and the table in the documentation are all read from it.
Nothing is read from disk before the first look-up.
"""

from kling_nb.catalog.control import Control
from kling_nb.catalog.entry import Endpoint, Price
from kling_nb.catalog.shipped import DEFAULT_ENDPOINT, endpoint, endpoints

__all__ = ["DEFAULT_ENDPOINT", "Control", "Endpoint", "Price", "endpoint", "endpoints"]
