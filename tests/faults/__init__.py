"""Any exchange with any fault: what can go wrong (`fault`), how it must end (`table`), and trials.

`table.py` is the one source: `test_table.py` tries each of its cells, `scripts/soak.py` draws from
it at random, and `docs/faults.md` is printed from it by `scripts/fault_table.py`.
"""
