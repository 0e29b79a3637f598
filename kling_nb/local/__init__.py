"""The embedded engine: fal's queue and storage on loopback, with a preview renderer behind them.

Started as a process of its own, `python -m kling_nb.local`; nothing else imports it.
What it answers follows FAL-PROTOCOL.md section by section; where fal's own behaviour is
not known, the docstring of the place says what was chosen.
"""
