"""`python -m service`, and the console script `blotter`."""

from __future__ import annotations

from service.cli.main import main

if __name__ == "__main__":
    main()
