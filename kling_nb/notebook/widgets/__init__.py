"""The live views. `base` answers the commands of the JavaScript side, `feed` sends updates to it.

`job` is the view of one job with its `takes`, `grid` of a sweep or a storyboard, `panel` of everything:
`compose` is its request, `library` its jobs.
"""
