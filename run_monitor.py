"""Run the monitor: `python run_monitor.py --config configs/demo.yaml`. The same as `handguard run`."""

from __future__ import annotations

import sys

from handguard.cli import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
