"""Tokens as an attacker makes them."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from tests.authentication.issuer import AUDIENCE, ISSUER, Issuer
from tests.conftest import ALICE

ATTACKER = ec.generate_private_key(ec.SECP256R1())
TRADER = {"blotter_trader": str(ALICE)}


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of ALICE; a change to None leaves one out."""
    now = int(time.time())
    values = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600, **TRADER, **changes}
    return {name: value for name, value in values.items() if value is not None}


def part(value: dict[str, Any] | bytes) -> str:
    """One part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def put_together(
    issuer: Issuer, header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, key: Any = None
) -> str:
    """A token with these very bytes, with a valid signature of the issuer or of another EC key."""
    content = f"{part(header)}.{part(payload)}"
    signature = jwt.get_algorithm_by_name("ES256").sign(content.encode(), key or issuer.keys["first"])
    return f"{content}.{part(signature)}"


HEADER = {"alg": "ES256", "kid": "first", "typ": "JWT"}


def hmac_with_public_key(issuer: Issuer, form: serialization.Encoding) -> str:
    """The public key, which everybody knows, as the secret of an HMAC."""
    public = issuer.keys["first"].public_key()
    secret = public.public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
    content = f"{part({**HEADER, 'alg': 'HS256'})}.{part(claims())}"
    return f"{content}.{part(hmac.new(secret, content.encode(), hashlib.sha256).digest())}"


def with_der_signature(issuer: Issuer) -> str:
    """The right signature in the encoding of X.509, which JWS does not use."""
    content, _, signature = issuer.signed(claims()).rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    half = len(raw) // 2
    der = utils.encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
    return f"{content}.{part(der)}"


def shortened(issuer: Issuer) -> str:
    """The right signature without its last three bytes."""
    content, _, signature = issuer.signed(claims()).rpartition(".")
    return f"{content}.{part(base64.urlsafe_b64decode(signature + '==')[:-3])}"


def tampered(issuer: Issuer) -> str:
    """The signature of another payload."""
    header, _, signature = issuer.signed(claims()).split(".")
    return f"{header}.{part(claims(sub='other'))}.{signature}"


def own_key(**headers: Any) -> Callable[[Issuer], str]:
    """A token of the attacker's key, which the header itself offers in some way."""
    return lambda issuer: put_together(issuer, {**HEADER, **headers}, claims(), ATTACKER)


def changed(**changes: Any) -> Callable[[Issuer], str]:
    """A token of the issuer with changed claims."""
    return lambda issuer: put_together(issuer, HEADER, claims(**changes))


def header(**changes: Any) -> Callable[[Issuer], str]:
    """A token of the issuer's key with a changed header."""
    return lambda issuer: put_together(issuer, {**HEADER, **changes}, claims())


def twice(name: str, value: Any) -> Callable[[Issuer], str]:
    """A claim that occurs twice, with two values."""
    again = f"{{{json.dumps(name)}: {json.dumps(value)}, {json.dumps(claims())[1:]}"
    return lambda issuer: put_together(issuer, HEADER, again.encode())


PUBLIC_JWK = jwt.get_algorithm_by_name("ES256").to_jwk(ATTACKER.public_key(), as_dict=True)

MALFORMED = "it is not a signed JSON Web Token"
ALGORITHM = "its algorithm is not one that is accepted"
KEY = "its key is not in the key set"
SIGNATURE = "its signature does not verify"
CLAIMS = "a claim is missing, repeated or malformed"

FORGED: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "no signature": (lambda i: f"{part({'alg': 'none'})}.{part(claims())}.", MALFORMED),
    "none with a signature": (header(alg="none"), ALGORITHM),
    "none in another case": (header(alg="nOnE"), ALGORITHM),
    "an empty algorithm": (header(alg=""), ALGORITHM),
    "no algorithm": (header(alg=None), ALGORITHM),
    "a list of algorithms": (header(alg=["ES256"]), ALGORITHM),
    "an HMAC with the public key in PEM": (lambda i: hmac_with_public_key(i, serialization.Encoding.PEM), ALGORITHM),
    "an HMAC with the public key in DER": (lambda i: hmac_with_public_key(i, serialization.Encoding.DER), ALGORITHM),
    "an algorithm that is not set": (header(alg="ES512"), ALGORITHM),
    "the algorithm of another type of key": (header(alg="RS256"), KEY),
    "another curve's algorithm": (header(alg="EdDSA"), KEY),
    "another's key": (own_key(), SIGNATURE),
    "another's key in the header": (own_key(jwk=PUBLIC_JWK), SIGNATURE),
    "another's key at an address": (own_key(jku="http://127.0.0.1:1/jwks.json", x5u="http://127.0.0.1:1/"), SIGNATURE),
    "a key id that is not in the set": (header(kid="second"), KEY),
    "a key id that is a path": (header(kid="../../../../dev/null"), KEY),
    "a key id that is an address": (header(kid="http://127.0.0.1:1/jwks.json"), KEY),
    "a key id that is SQL": (header(kid="' UNION SELECT 'x' --"), KEY),
    "an empty key id": (header(kid=""), KEY),
    "a key id that is no text": (header(kid=["first"]), MALFORMED),
    "a long key id": (header(kid="k" * 300), MALFORMED),
    "a critical extension": (header(crit=["exp"], exp=1), MALFORMED),
    "a payload that is not encoded": (header(b64=False), MALFORMED),
    "another type": (header(typ="logout+jwt"), MALFORMED),
    "a type that is no text": (header(typ=1), MALFORMED),
    "a header twice": (
        lambda i: put_together(i, b'{"alg": "none", "alg": "ES256", "kid": "first"}', claims()),
        MALFORMED,
    ),
    "a header that is no object": (lambda i: put_together(i, b'["ES256"]', claims()), MALFORMED),
    "a header that is no UTF-8": (lambda i: put_together(i, b'{"alg": "\xff"}', claims()), MALFORMED),
    "a deep header": (lambda i: f"{part(b'[' * 3000)}.{part(claims())}.eA", MALFORMED),
    "a changed payload": (tampered, SIGNATURE),
    "a shortened signature": (shortened, SIGNATURE),
    "a signature in DER": (with_der_signature, SIGNATURE),
    "two parts": (lambda i: ".".join(i.signed(claims()).split(".")[:2]), MALFORMED),
    "four parts": (lambda i: i.signed(claims()) + ".eA", MALFORMED),
    "an encrypted token": (
        lambda i: ".".join([part({"alg": "dir", "enc": "A128GCM"}), "", "eA", "eA", "eA"]),
        MALFORMED,
    ),
    "padding": (lambda i: i.signed(claims()) + "==", MALFORMED),
    "nothing": (lambda i: "", MALFORMED),
    "more than is allowed": (changed(padding="x" * 7000), MALFORMED),
    "another issuer": (changed(iss="https://evil.example"), "it is of another issuer"),
    "an issuer with a slash": (changed(iss=ISSUER + "/"), "it is of another issuer"),
    "a list of issuers": (changed(iss=[ISSUER]), "it is of another issuer"),
    "no issuer": (changed(iss=None), CLAIMS),
    "another audience": (changed(aud="books"), "it is for another audience"),
    "other audiences": (changed(aud=["books", "Blotter"]), "it is for another audience"),
    "an audience that is no text": (changed(aud={"blotter": 1}), "it is for another audience"),
    "no audience": (changed(aud=None), CLAIMS),
    "an empty audience": (changed(aud=[]), CLAIMS),
    "a time in the future": (changed(nbf=int(time.time()) + 3600), "it is not valid yet"),
    "an issue in the future": (changed(iat=int(time.time()) + 3600), "it is not valid yet"),
    "no expiry": (changed(exp=None), CLAIMS),
    "an expiry that is text": (changed(exp="9999999999"), CLAIMS),
    "an expiry that is true": (changed(exp=True), CLAIMS),
    "an infinite expiry": (lambda i: put_together(i, HEADER, json.dumps(claims(exp=float("inf"))).encode()), CLAIMS),
    "an expiry beyond numbers": (
        lambda i: put_together(i, HEADER, json.dumps(claims(exp=7)).replace(": 7", ": 1e999").encode()),
        CLAIMS,
    ),
    "an expiry of five thousand digits": (
        lambda i: put_together(i, HEADER, json.dumps(claims(exp=7)).replace(": 7", ": " + "9" * 5000).encode()),
        CLAIMS,
    ),
    "an expiry that is finite and never comes": (changed(exp=1e308), CLAIMS),
    "an expiry after the year 9999": (changed(exp=253_402_300_800), CLAIMS),
    "a start that is text": (changed(nbf="0"), CLAIMS),
    "no subject": (changed(sub=None), CLAIMS),
    "an empty subject": (changed(sub=""), CLAIMS),
    "a subject that is a number": (changed(sub=1), CLAIMS),
    "a subject with a zero": (changed(sub="ada\0"), CLAIMS),
    "a subject with half a character": (changed(sub="\ud800"), CLAIMS),
    "a subject with an invisible character": (changed(sub="ada\u200b"), CLAIMS),
    "a subject twice": (twice("sub", "eve"), CLAIMS),
    "a trader twice": (twice("blotter_trader", "eve"), CLAIMS),
    "an expiry twice": (twice("exp", 9_999_999_999), CLAIMS),
    "a claim twice further inside": (
        lambda i: put_together(i, HEADER, (json.dumps(claims())[:-1] + ', "x": {"a": 1, "a": 2}}').encode()),
        CLAIMS,
    ),
    "a payload that is no object": (lambda i: put_together(i, HEADER, b'["sub"]'), CLAIMS),
    "no trader and no role": (changed(blotter_trader=None), CLAIMS),
    "a trader and a role": (changed(blotter_role="compliance"), CLAIMS),
    "a trader and a desk": (changed(blotter_desk=str(ALICE)), CLAIMS),
    "a list of traders": (changed(blotter_trader=[str(ALICE)]), CLAIMS),
    "a trader in braces": (changed(blotter_trader=f"{{{ALICE}}}"), CLAIMS),
    "a role that does not exist": (changed(blotter_trader=None, blotter_role="owner"), CLAIMS),
    "a list of roles": (changed(blotter_trader=None, blotter_role=["compliance"]), CLAIMS),
    "a trader's role": (changed(blotter_trader=None, blotter_role="trader"), CLAIMS),
}
"""Tokens by what is wrong with them, with the cause that the error names."""
