"""The page of faults is what the script prints now."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_faults_is_current() -> None:
    command = [sys.executable, "scripts/fault_table.py", "--print"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed == (ROOT / "docs" / "faults.md").read_text(encoding="utf-8"), "run scripts/fault_table.py"
