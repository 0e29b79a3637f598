"""fal's HTTP interface: the queue, its events, keys and uploads. Knows no notebook and prints nothing."""
