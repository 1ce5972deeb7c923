"""The keys that sign checkpoints: a folder of files that only their owner can read."""

from __future__ import annotations

from pathlib import Path

from blotter_verifier.notes import ED25519, InvalidKey, Signer
from service.calls import Calls
from service.files import replacing

SUFFIX = ".key"


class NoKey(Exception):
    """The key does not exist, or must not be removed."""


class KeyFolder:
    """The keys of a ledger, one per file. All of them sign, so that keys can be rotated without a gap."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = Calls(f"The folder of the keys, {folder},")

    def signers(self) -> list[Signer]:
        """Return the keys, the oldest first; the empty list when the folder does not exist. Raises InvalidKey."""
        files = [file for file in self.folder.glob(f"*{SUFFIX}") if file.is_file()]
        signers = [Signer.parse(file.read_text("ascii").strip()) for file in sorted(files, key=_age)]
        if any(signer.type != ED25519 for signer in signers):
            raise InvalidKey(f"a key in {self.folder} is a witness's key, not a ledger's")
        return signers

    def generate(self, name: str) -> Signer:
        """Add a new key to the folder. Raises InvalidKey."""
        signer = Signer.generate(name)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(self._file(signer), mode=0o600) as writing:  # a running sequencer must not read a partial file
            writing.write(f"{signer.secret}\n".encode("ascii"))
        return signer

    def retire(self, key_id: str) -> Signer:
        """Remove a key, which then signs nothing more. Raises NoKey when it does not exist or is the only one."""
        signers = self.signers()
        found = next((signer for signer in signers if signer.verifier.key_id.hex() == key_id), None)
        if found is None:
            raise NoKey(f"There is no key {key_id} in {self.folder}.")
        if len(signers) == 1:
            raise NoKey(f"{key_id} is the only key; generate its successor first, so that verifiers can adopt it.")
        self._file(found).unlink()
        return found

    def _file(self, signer: Signer) -> Path:
        return self.folder / f"{signer.verifier.key_id.hex()}{SUFFIX}"


def _age(file: Path) -> tuple[int, str]:
    return file.stat().st_mtime_ns, file.name
