"""The endpoints that a request can go to, and the parameters that each of them takes.

The JSON Schema of an endpoint is the single source. Flags, completion, help, controls, validation and the
table in the documentation are all read from it. Nothing is read from disk before the first look-up.
"""

from kling_nb.catalog.endpoint import Control, Endpoint, Price
from kling_nb.catalog.shipped import DEFAULT_ENDPOINT

__all__ = ["DEFAULT_ENDPOINT", "Control", "Endpoint", "Price"]
