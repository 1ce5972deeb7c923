"""Issues a token for a trial of the mode `jwt`: prints it, and adds the issuer's public key to FOLDER/jwks.json.

python issue_token.py FOLDER SUBJECT [SECONDS]    a token for the subject, which expires after SECONDS (3600)

The issuer's key, FOLDER/issuer-key.pem, is made if it is missing. To rotate it, delete the file: the next token is
signed by a new key, and jwks.json still holds the old one, whose tokens are valid until they expire.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

ISSUER = "https://issuer.example"
AUDIENCE = "blotter"


def main(folder: Path, subject: str, seconds: int = 3600) -> None:
    """Print a token."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key_path, jwks_path = folder / "issuer-key.pem", folder / "jwks.json"
    if not key_path.exists():
        key_path.touch(mode=0o600)
        key = ec.generate_private_key(ec.SECP256R1())
        key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    signer = jwt.get_algorithm_by_name("ES256").prepare_key(key_path.read_bytes())
    public = json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(signer.public_key()))
    key_id = public["x"][:8]

    keys = json.loads(jwks_path.read_text("utf-8"))["keys"] if jwks_path.exists() else []
    if key_id not in {known["kid"] for known in keys}:
        new = jwks_path.with_suffix(".new")
        new.write_text(json.dumps({"keys": [*keys, public | {"kid": key_id, "use": "sig", "alg": "ES256"}]}), "utf-8")
        new.replace(jwks_path)

    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + seconds}
    print(jwt.encode(claims, signer, algorithm="ES256", headers={"kid": key_id}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
