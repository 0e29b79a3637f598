"""The local preview server: fal's queue and storage on loopback, with a preview renderer.

It runs as a separate process, `python -m kling_nb.local`. Only the command line imports it.
Its replies follow FAL-PROTOCOL.md section by section. Where fal's own behaviour is not known, the
docstring states what was chosen.
"""
