"""One job, from a call to a file. Each step is one module; CONTRIBUTING.md says what the others are.

plan -> start (claims a row in the ledger) -> submit (the only POST of a job) -> run (follows it) ->
store (the result becomes a file).
"""
