"""Any input at every edge: only typed errors come of it."""
