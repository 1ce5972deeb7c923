"""The offline verifier: needs a bundle or a receipt and a public key; no database, and no code that builds proofs."""
