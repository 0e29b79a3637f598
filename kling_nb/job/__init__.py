"""One job, from a call to a file. Each step is one module.

plan -> start (claims a row in the ledger) -> submit (the only POST of a job) -> run (follows it) ->
store (the result becomes a file). `job` is what the user holds, `record` the job with its ledger row,
`registry` the jobs of this process, `cancel` what a cancel does, `client` fal's queue call by call,
`inputs` local files as URLs, `connections` what a session has opened, `preview_server` the
local one, `rebuild` the ledger from sidecars.
"""
