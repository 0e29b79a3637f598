"""Static HTML and text, which need no kernel.

`job` and `grid` collect the facts of a job, a sweep, a storyboard; `html` draws and escapes; `style` has the
look of the live views; `words` has the words and cleans text from outside, `cost` has those about cost, which
the live views use too; `mark` is what a saved output says of itself.
"""
