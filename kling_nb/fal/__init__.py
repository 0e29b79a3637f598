"""fal's HTTP interface. It prints nothing, and knows neither ledger nor folder.

`queue` sends and asks, `replies` turns its answers into values and errors of ours, `follow` waits for the
end of a request, `download` and `storage` move files, `http` and `lanes` are the connections, `patience`
the time limits and retries, `hosts` and `auth` say who may see the key, `platform` is the platform API.
"""
