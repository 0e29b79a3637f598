"""Imported by every Python that has this folder on PYTHONPATH, which the test session sets."""

import os
import sys

import loopback_only

if os.environ.get(loopback_only.LEAKS):
    loopback_only.install()
    # jsonschema imports it where it is, for the format "iri", which no notebook uses. It compiles a
    # grammar for 1.7 s of CPU in every process that imports nbformat, and in every Jupyter server.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
