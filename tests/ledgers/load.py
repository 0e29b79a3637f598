"""Eight kernels at one ledger, for `make soak`: `python -m ledgers.load SEED JOBS` prints the counts."""

import json
import sys

from ledger_load import run_load

KERNELS = 8

if __name__ == "__main__":
    print(json.dumps(run_load(KERNELS, int(sys.argv[2]))))
