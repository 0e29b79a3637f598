"""Saved notebooks.

`server_extension` lets Jupyter Server update our outputs when a notebook is opened: `reopening` decides
what becomes of each, `renewal` draws cards again, also for `kling-nb freeze`. `verify` reports what a run
would send.
"""
