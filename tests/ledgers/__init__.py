"""Ledgers of earlier versions, and many kernels at one."""
