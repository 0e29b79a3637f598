"""The outputs of a cell, in a kernel, a terminal and marimo.

In a kernel `KernelOutputs.show_job` publishes a live view (`widgets.job`) and a card: `card.job` collects
its facts, `card.html` draws it, `card.mark` lets a reader of the notebook find it again.
"""
