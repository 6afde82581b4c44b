"""`python -m handguard`, and with it `torchrun … -m handguard`: the same program as `handguard`."""

from __future__ import annotations

from handguard.cli import main

if __name__ == "__main__":
    main()
