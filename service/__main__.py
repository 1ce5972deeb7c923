"""`python -m service`, and the console script `blotter`."""

from __future__ import annotations

import os

# By default gRPC writes a line to standard error for each failed handshake, which anybody can cause. It reads the
# variable when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from service.cli.main import main

if __name__ == "__main__":
    main()
