"""A project as an earlier version left it, run again by the code of today."""
