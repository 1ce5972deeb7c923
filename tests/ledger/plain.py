"""RFC 6962, RFC 9162 and C2SP signed notes in plain code, written from the texts alone, independently of service/.

It is slow, and shares no code with what it tests.
"""

from base64 import b64decode, b64encode
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Hash = bytes


def leaf(data: bytes) -> Hash:
    """RFC 6962 §2.1."""
    return sha256(b"\x00" + data).digest()


def node(left: Hash, right: Hash) -> Hash:
    """RFC 6962 §2.1."""
    return sha256(b"\x01" + left + right).digest()


def k(n: int) -> int:
    """The largest power of two smaller than n."""
    power = 1
    while power * 2 < n:
        power *= 2
    return power


def mth(leaves: list[Hash]) -> Hash:
    """The Merkle tree hash over hashes of leaves (§2.1)."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = k(len(leaves))
    return node(mth(leaves[:middle]), mth(leaves[middle:]))


def path(m: int, leaves: list[Hash]) -> list[Hash]:
    """PATH(m, D[n]), the audit path (§2.1.1)."""
    if len(leaves) == 1:
        return []
    middle = k(len(leaves))
    if m < middle:
        return [*path(m, leaves[:middle]), mth(leaves[middle:])]
    return [*path(m - middle, leaves[middle:]), mth(leaves[:middle])]


def proof(m: int, leaves: list[Hash]) -> list[Hash]:
    """PROOF(m, D[n]), the consistency proof (§2.1.2)."""
    return subproof(m, leaves, whole=True)


def subproof(m: int, leaves: list[Hash], *, whole: bool) -> list[Hash]:
    """SUBPROOF(m, D[n], b) (§2.1.2)."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    middle = k(len(leaves))
    if m <= middle:
        return [*subproof(m, leaves[:middle], whole=whole), mth(leaves[middle:])]
    return [*subproof(m - middle, leaves[middle:], whole=False), mth(leaves[:middle])]


def includes(index: int, size: int, value: Hash, hashes: list[Hash], root: Hash) -> bool:
    """RFC 9162 §2.1.3.2, step by step."""
    if any(len(one) != 32 for one in (value, root, *hashes)) or index < 0 or index >= size:
        return False
    fn, sn, r = index, size - 1, value
    for p in hashes:
        if sn == 0:
            return False
        if fn % 2 == 1 or fn == sn:
            r = node(p, r)
            if fn % 2 == 0:
                while True:
                    fn, sn = fn // 2, sn // 2
                    if fn % 2 == 1 or fn == 0:
                        break
        else:
            r = node(r, p)
        fn, sn = fn // 2, sn // 2
    return sn == 0 and r == root


def continues(  # noqa: C901  # follows the text of the RFC
    first: int, second: int, old: Hash, new: Hash, hashes: list[Hash]
) -> bool:
    """RFC 9162 §2.1.4.2, step by step; a proof from size 0 is refused, and one between equal sizes is empty."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not hashes and old == new
    if any(len(one) != 32 for one in (old, new, *hashes)) or not hashes:
        return False
    rest = [old, *hashes] if first == 2 ** (first.bit_length() - 1) else list(hashes)
    fn, sn = first - 1, second - 1
    while fn % 2 == 1:
        fn, sn = fn // 2, sn // 2
    fr = sr = rest[0]
    for c in rest[1:]:
        if sn == 0:
            return False
        if fn % 2 == 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            if fn % 2 == 0:
                while True:
                    fn, sn = fn // 2, sn // 2
                    if fn % 2 == 1 or fn == 0:
                        break
        else:
            sr = node(sr, c)
        fn, sn = fn // 2, sn // 2
    return (fr, sr, sn) == (old, new, 0)


class Key:
    """An Ed25519 key with a name, for signed notes: type 1 signs, type 4 cosigns."""

    def __init__(self, name: str, seed: bytes, kind: int = 1) -> None:
        self.name = name
        self.kind = kind
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.private.public_key().public_bytes_raw()
        self.id = sha256(name.encode() + b"\n" + bytes([kind]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The public key as text."""
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes([self.kind]) + self.public).decode()}"

    def line(self, text: str, time: int = 1_700_000_000) -> str:
        """The signature line under a text."""
        if self.kind == 1:
            signature = self.private.sign(text.encode())
        else:
            over = "cosignature/v1\ntime " + str(time) + "\n" + text
            signature = time.to_bytes(8, "big") + self.private.sign(over.encode())
        return "\u2014 " + self.name + " " + b64encode(self.id + signature).decode() + "\n"

    def signed(self, text: str, line: str) -> bool:
        """Whether the line is this key's under the text (type 1)."""
        raw = b64decode(line.split(" ")[2])
        try:
            self.private.public_key().verify(raw[4:], text.encode())
        except InvalidSignature:
            return False
        return raw[:4] == self.id


def checkpoint(origin: str, leaves: list[Hash]) -> str:
    """The text of a checkpoint (C2SP tlog-checkpoint)."""
    return origin + "\n" + str(len(leaves)) + "\n" + b64encode(mth(leaves)).decode() + "\n"
