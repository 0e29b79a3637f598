"""Saved notebooks.

`server_extension` lets Jupyter Server update our outputs when a notebook is opened: `reopening` decides
what becomes of each, `renewal` draws cards again. `freeze` leaves static cards, `verify` reports what a
run would send.
"""
