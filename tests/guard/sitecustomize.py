"""Imported by every Python that has this folder on PYTHONPATH, which the test session sets."""

import os

import loopback_only

if os.environ.get(loopback_only.LEAKS):
    loopback_only.install()
