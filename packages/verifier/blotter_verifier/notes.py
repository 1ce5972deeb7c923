"""Signed notes (C2SP signed-note): a text and signatures by named keys.

    — <name> base64(4-byte key id || signature)

Only Ed25519 is supported: type 0x01 for a log's signatures, 0x04 for a witness's cosignatures (C2SP tlog-cosignature
v1).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from blotter_verifier.encoding import decoded

ED25519 = 0x01
COSIGNATURE = 0x04
MAX_SIGNATURES = 100
_DASH = "\u2014 "


class InvalidNote(ValueError):
    """The text is not a signed note, or a signature is false."""


class InvalidKey(ValueError):
    """The text is not a key of a supported type."""


class Signature(NamedTuple):
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line, with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key with a name: `name+hex8+base64(type || key)`."""

    name: str
    type: int
    public_key: bytes

    @classmethod
    def parse(cls, vkey: str) -> Verifier:
        """Parse a verifier key. Raises InvalidKey."""
        name, key_id, encoded = _split_key(vkey.strip())
        type_, key = encoded[0], encoded[1:]
        verifier = cls(name, type_, key)
        if type_ not in {ED25519, COSIGNATURE} or len(key) != 32:  # the length of an Ed25519 key
            raise InvalidKey("only Ed25519 keys are supported")
        if verifier.key_id != key_id:
            raise InvalidKey("the key id does not match the key")
        return verifier

    @property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name || 0x0A || type || key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public_key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.type]) + self.public_key).decode()}"

    def verify(self, text: str, signature: bytes) -> int | None:
        """Verify a signature of the text; return a cosignature's time in seconds, else None. Raises InvalidNote."""
        message, time = text.encode(), None
        if self.type == COSIGNATURE:
            if len(signature) != 72:  # 8 bytes of time, 64 of signature
                raise InvalidNote(f"the cosignature of {self.name} has an invalid length")
            time = int.from_bytes(signature[:8], "big")
            if not 0 < time < 1 << 63:
                raise InvalidNote(f"the cosignature of {self.name} has no valid time")
            signature = signature[8:]
            message = cosigned(text, time)
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise InvalidNote(f"the signature of {self.name} is false") from error
        return time


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """A private key with a name: `PRIVATE+KEY+name+hex8+base64(type || seed)`. This text is secret."""

    name: str
    seed: bytes
    type: int = ED25519

    @classmethod
    def generate(cls, name: str) -> Signer:
        """Generate a key. Raises InvalidKey for an invalid name."""
        check_name(name)
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, skey: str) -> Signer:
        """Parse a private key. Raises InvalidKey."""
        prefix = "PRIVATE+KEY+"
        if not skey.startswith(prefix):
            raise InvalidKey("a private key must start with PRIVATE+KEY+")
        name, key_id, encoded = _split_key(skey.removeprefix(prefix).strip())
        signer = cls(name, encoded[1:], encoded[0])
        if signer.type not in {ED25519, COSIGNATURE} or len(signer.seed) != 32:
            raise InvalidKey("only Ed25519 keys are supported")
        if signer.verifier.key_id != key_id:
            raise InvalidKey("the key id does not match the key")
        return signer

    @property
    def secret(self) -> str:
        """The private key as text."""
        encoded = base64.b64encode(bytes([self.type]) + self.seed).decode()
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{encoded}"

    @property
    def verifier(self) -> Verifier:
        """The public key."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return Verifier(self.name, self.type, public)

    def sign(self, text: str, time: int | None = None) -> Signature:
        """Sign a note's text. A cosignature requires the time, in seconds since 1970; else raises ValueError."""
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        if self.type == COSIGNATURE:
            if time is None:
                raise ValueError("a cosignature requires a time")
            signature = time.to_bytes(8, "big") + key.sign(cosigned(text, time))
        else:
            signature = key.sign(text.encode())
        return Signature(self.name, self.verifier.key_id, signature)


class Note(NamedTuple):
    """A text and its signatures. The text ends with a newline."""

    text: str
    signatures: list[Signature]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(signature.line for signature in self.signatures)

    def signed_by(self, verifiers: Iterable[Verifier]) -> list[Verifier]:
        """Return the verifiers that have signed, each once. Raises InvalidNote if the signature of one is false."""
        by_id = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
        found: dict[Verifier, None] = {}
        for signature in self.signatures:
            verifier = by_id.get((signature.name, signature.key_id))
            if verifier is not None:
                verifier.verify(self.text, signature.signature)
                found[verifier] = None
        return list(found)


def sign(text: str, signers: Sequence[Signer]) -> Note:
    """Sign a text. Raises InvalidNote unless it ends with a newline and has no other control characters."""
    _check_text(text)
    return Note(text, [signer.sign(text) for signer in signers])


def parse_note(message: str) -> Note:
    """Parse a signed note, without verifying its signatures. Raises InvalidNote."""
    _check_characters(message)
    text, blank, block = message.rpartition("\n\n")
    if not blank:
        raise InvalidNote("a note must have a blank line before its signatures")
    text += "\n"
    _check_text(text)
    return Note(text, parse_signatures(block))


def parse_signatures(block: str) -> list[Signature]:
    """Parse signature lines. Raises InvalidNote."""
    if not block.endswith("\n"):
        raise InvalidNote("the last line must end with a newline")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise InvalidNote(f"a note must have at most {MAX_SIGNATURES} signatures")
    return [_parse_signature(line) for line in lines]


def cosigned(text: str, time: int) -> bytes:
    """Return the bytes that a witness signs (C2SP tlog-cosignature v1)."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def check_name(name: str) -> None:
    """Raise InvalidKey for a key name that is empty or contains spaces, control characters or a plus."""
    if not name or "+" in name or any(character.isspace() or ord(character) < 0x20 for character in name):
        raise InvalidKey("a key's name must not be empty or contain spaces, control characters or a plus")


def _split_key(text: str) -> tuple[str, bytes, bytes]:
    try:
        name, key_id, encoded = text.split("+", 2)
        raw = decoded(encoded)
        identity = bytes.fromhex(key_id)
    except ValueError as error:
        raise InvalidKey("a key must have the form name+hex+base64") from error
    check_name(name)
    if len(identity) != 4 or len(key_id) != 8 or not raw:  # 4 bytes in hexadecimal
        raise InvalidKey("a key must have the form name+hex+base64")
    return name, identity, raw


def _parse_signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).rpartition(" ")
    try:
        raw = decoded(encoded)
        check_name(name)
    except ValueError as error:
        raise InvalidNote("a signature line must have the form `— name base64`") from error
    if not line.startswith(_DASH) or len(raw) < 5:  # 4 bytes of key id, and a signature
        raise InvalidNote("a signature line must have the form `— name base64`")
    return Signature(name, raw[:4], raw[4:])


def _check_text(text: str) -> None:
    _check_characters(text)
    if not text.endswith("\n"):
        raise InvalidNote("a note's text must end with a newline")


def _check_characters(text: str) -> None:
    if any(ord(character) < 0x20 and character != "\n" for character in text):
        raise InvalidNote("a note must not contain control characters other than newlines")
