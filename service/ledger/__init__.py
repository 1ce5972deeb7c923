"""The ledger: hashes, proofs and signed notes. Pure: no I/O, and nothing of the rest of the service."""
