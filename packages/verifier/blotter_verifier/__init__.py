"""The offline verifier: needs a bundle or a receipt and a public key; no database, and no code that builds proofs.

The server imports its hash functions, notes and checkpoints from here; what builds trees and proofs is the server's.
"""
