"""The offline verifier of bundles and receipts. It needs a public key, but neither the service nor its database.

The server imports the hash functions, notes and checkpoints of this package. The code that builds trees and proofs is
in the server.
"""
