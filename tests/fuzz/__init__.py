"""Any input at every edge leads to a result or a typed error."""
