"""Static HTML and text, which need no kernel.

`job` and `grid` collect the facts of a job, a sweep, a storyboard; `html` draws and escapes; `style` has
the look of the live views; `words` has the words, with those about cost that the live views use too, and
cleans text from outside; `mark` is what a saved output says of itself.
"""
