"""Reads a JSON Web Key Set (RFC 7517): the public keys of an issuer."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from typing import Any, NamedTuple

from jwt import PyJWK

MOST_KEYS = 100
LEAST_RSA_BITS = 2048

_OF_CURVE = {"P-256": {"ES256"}, "P-384": {"ES384"}, "P-521": {"ES512"}, "Ed25519": {"EdDSA"}}
_OF_RSA = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


class BadKeySet(Exception):
    """What was read is not a key set, or holds no key that is accepted."""


class Key(NamedTuple):
    """A key for one algorithm."""

    jwk: PyJWK
    id: str
    """The digest of the key: another key under the same key id has another one."""


class KeySet:
    """The keys by key id and algorithm. A key verifies no other algorithm than those of its own type and `alg`."""

    def __init__(self, keys: dict[str | None, dict[str, Key]]) -> None:
        self._keys = keys
        self.ids = frozenset(key.id for keys_of in keys.values() for key in keys_of.values())

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """Return the key. A token without a key id is verified by the one key of its algorithm, if there is one."""
        if kid is not None:
            return self._keys.get(kid, {}).get(algorithm)
        found = [keys[algorithm] for keys in self._keys.values() if algorithm in keys]
        return found[0] if len(found) == 1 else None


def parse(raw: bytes, algorithms: list[str]) -> KeySet:
    """Return the keys that verify one of the algorithms. Others are left out, as RFC 7517 section 5 asks.

    Raises BadKeySet.
    """
    try:
        listed = json.loads(raw)["keys"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise BadKeySet("it is not a JSON Web Key Set") from error
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise BadKeySet(f"it is not a JSON Web Key Set of at most {MOST_KEYS} keys")
    keys: defaultdict[str | None, dict[str, Key]] = defaultdict(dict)
    for jwk in listed:
        if not isinstance(jwk, dict):
            continue
        kid = jwk.get("kid")
        for algorithm in _algorithms_of(jwk) & set(algorithms):
            key = _key(jwk, algorithm)
            if key is None:
                continue
            if algorithm in keys[kid]:
                raise BadKeySet(f"two keys have the key id {kid!r}")
            keys[kid][algorithm] = key
    if not any(keys.values()):
        raise BadKeySet("it holds no key of an accepted algorithm")
    return KeySet(dict(keys))


def _algorithms_of(jwk: dict[Any, Any]) -> set[str]:
    """Return the algorithms that a key may verify by its type, curve, `alg`, `use` and `key_ops`."""
    if not isinstance(jwk.get("kid"), str | None) or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return set()  # whoever reads the set could sign with a private key
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return set()
    if jwk.get("kty") == "RSA":
        able = _OF_RSA
    elif jwk.get("kty") in ("EC", "OKP") and isinstance(jwk.get("crv"), str):
        able = _OF_CURVE.get(jwk["crv"], set())
    else:
        able = set()  # such as a symmetric one
    named = jwk.get("alg")
    return able if named is None else able & {named if isinstance(named, str) else ""}


def _key(jwk: dict[Any, Any], algorithm: str) -> Key | None:
    try:
        key = PyJWK(jwk, algorithm)
    except Exception:  # noqa: BLE001  # of the libraries, for any content: the other keys serve
        return None
    if jwk["kty"] == "RSA" and key.key.key_size < LEAST_RSA_BITS:
        return None
    public = [jwk.get(name) for name in ("kty", "crv", "x", "y", "n", "e")]
    return Key(key, hashlib.sha256(json.dumps(public).encode()).hexdigest())
