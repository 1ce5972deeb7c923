"""The addresses on which the server may listen, and settings that contradict each other."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings import Settings


@pytest.mark.parametrize(
    "listen",
    ["127.0.0.1:50051", "127.0.0.1:0", "127.9.9.9:1", "[::1]:50051", "localhost:50051", "unix:/run/blotter.sock"],
)
def test_loopback_is_served_on(listen: str) -> None:
    assert Settings(listen=listen).listen == listen


OUTSIDE = [
    "0.0.0.0:50051", "[::]:50051", ":50051", "10.0.0.1:50051", "localhost.evil:50051", "dns:///127.0.0.1:50051",
    "unix-abstract:x", "127.0.0.1:1,0.0.0.0:2", "example.com:50051", "vsock:1:2",
]  # fmt: skip


@pytest.mark.parametrize("listen", OUTSIDE)
def test_what_others_reach_is_refused_without_a_trusted_gateway(listen: str) -> None:
    with pytest.raises(ValidationError, match=r"reachable from other hosts|must be HOST:PORT"):
        Settings(listen=listen)


def test_a_trusted_gateway_opens_the_door() -> None:
    assert Settings(listen="0.0.0.0:50051", trusted_gateway=True).trusted_gateway


@pytest.mark.parametrize(
    "listen", ["localhost:", "localhost", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:http", "", "unix:"]
)
def test_an_address_has_a_port_that_exists(listen: str) -> None:
    with pytest.raises(ValidationError, match=r"must be HOST:PORT"):
        Settings(listen=listen, trusted_gateway=True)


JWT: dict[str, Any] = {
    "auth": "jwt",
    "jwt_issuer": "https://issuer.example",
    "jwt_audiences": "blotter",
    "jwt_jwks": "keys.json",
}
TLS: dict[str, Any] = {"tls_cert": "server.crt", "tls_key": "server.key"}
MTLS: dict[str, Any] = {"auth": "mtls", **TLS, "tls_client_ca": "ca.crt"}


@pytest.mark.parametrize("values", [JWT | TLS, MTLS, JWT | {"trusted_gateway": True}])
def test_authenticated_callers_over_tls_are_served_anywhere(values: dict[str, Any]) -> None:
    assert Settings(listen="0.0.0.0:50051", **values).listen == "0.0.0.0:50051"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "tokens in clear beyond loopback": (JWT | {"listen": "0.0.0.0:1"}, "tokens must not travel in clear"),
    "metadata over TLS beyond loopback": (TLS | {"listen": "0.0.0.0:1"}, "authenticates nobody"),
    "a certificate without its key": ({"tls_cert": "a"}, "must be set together"),
    "a key without its certificate": ({"tls_key": "a"}, "must be set together"),
    "a client CA without TLS": ({"tls_client_ca": "a"}, "requires BLOTTER_TLS_CERT"),
    "a revocation list without a client CA": (TLS | {"tls_client_crl": "a"}, "requires BLOTTER_TLS_CLIENT_CA"),
    "mtls without a client CA": (TLS | {"auth": "mtls"}, "requires BLOTTER_TLS_CLIENT_CA"),
    "jwt without an issuer": (JWT | {"jwt_issuer": None}, "requires BLOTTER_JWT_ISSUER"),
    "jwt without an audience": (JWT | {"jwt_audiences": " , "}, "requires BLOTTER_JWT_AUDIENCES"),
    "jwt without keys": (JWT | {"jwt_jwks": None}, "requires BLOTTER_JWT_JWKS"),
    "an issuer that nothing reads": ({"jwt_issuer": "https://issuer.example"}, "Set BLOTTER_AUTH=jwt"),
    "the issuer of certificates": (JWT | {"jwt_issuer": "mtls"}, "principals of certificates have this issuer"),
    "an HMAC": (JWT | {"jwt_algorithms": "ES256,HS256"}, "HMAC and none are not accepted"),
    "no signature": (JWT | {"jwt_algorithms": "none"}, "HMAC and none are not accepted"),
    "no algorithm": (JWT | {"jwt_algorithms": ","}, "must be some of"),
    "keys over http": (JWT | {"jwt_jwks": "http://issuer.example/keys"}, "must be an https URL"),
    "keys over http from a host named like loopback": (JWT | {"jwt_jwks": "http://127.0.0.1.evil/"}, "https URL"),
    "keys over http from a user named like loopback": (JWT | {"jwt_jwks": "http://127.0.0.1@evil/"}, "https URL"),
    "keys over ftp": (JWT | {"jwt_jwks": "ftp://127.0.0.1/keys"}, "must be an https URL"),
    "a claim of nothing that exists": (JWT | {"jwt_claims": "owner=x"}, "must be pairs such as"),
    "a claim without a name": (JWT | {"jwt_claims": "trader"}, "must be pairs such as"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_would_leave_a_door_open_are_refused(case: str) -> None:
    values, sentence = REFUSED[case]
    with pytest.raises(ValidationError, match=re.escape(sentence)):
        Settings(**values)


@pytest.mark.parametrize("jwks", ["https://issuer.example/keys", "http://[::1]:1/keys", "http://localhost/", "/keys"])
def test_keys_come_over_https_from_loopback_or_from_a_file(jwks: str) -> None:
    assert Settings(**JWT | {"jwt_jwks": jwks}).jwt_jwks == jwks


def test_claims_that_are_not_named_keep_their_names() -> None:
    claims = Settings(**JWT | {"jwt_claims": "trader=https://blotter.example/trader , actor = email"}).claims
    assert claims["trader"] == "https://blotter.example/trader"
    assert (claims["actor"], claims["role"]) == ("email", "blotter_role")


@pytest.mark.parametrize("name", ["calls_per_second", "tls_reload_seconds", "otlp_seconds"])
def test_a_number_is_finite(name: str) -> None:
    values: dict[str, Any] = {name: "inf"}
    with pytest.raises(ValidationError, match="finite number"):
        Settings(**values)
