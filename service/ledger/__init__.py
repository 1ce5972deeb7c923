"""The ledger's tree and file formats. These modules do no I/O and do not depend on the rest of the service."""
