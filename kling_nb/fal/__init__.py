"""fal's HTTP interface. It prints nothing, and knows neither ledger nor folder.

`queue` sends and asks (its answers are in `replies`), `follow` waits for the end of a request,
`download` and `storage` move files, `http` and `lanes` are the connections, `patience` the time limits
and retries, `hosts` and `auth` say who may see the key, `refusals` turns fal's errors into ours,
`platform` is the platform API.
"""
