"""The settings of TLS between clients and the server."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings


class TlsSettings(BaseSettings):
    """The certificate of the server, and what it demands of its clients. All files are PEM and read anew on change."""

    tls_cert: Path | None = Field(
        None, description="File of the server's certificate and the intermediate ones; unset: no TLS."
    )
    tls_key: Path | None = Field(None, description="File of the certificate's private key, not encrypted.")
    tls_client_ca: Path | None = Field(
        None,
        description="File of the certificate authorities of clients; set: each client must have a certificate.",
    )
    tls_client_crl: Path | None = Field(
        None, description="File of the revocation lists of TLS_CLIENT_CA; unset: no certificate is revoked."
    )
    tls_reload_seconds: float = Field(5, gt=0, description="Interval at which the files are checked for changes.")

    @model_validator(mode="after")
    def _check_tls(self) -> TlsSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("BLOTTER_TLS_CERT and BLOTTER_TLS_KEY must be set together.")
        if self.tls_client_ca and not self.tls_cert:
            raise ValueError("BLOTTER_TLS_CLIENT_CA requires BLOTTER_TLS_CERT and BLOTTER_TLS_KEY.")
        if self.tls_client_crl and not self.tls_client_ca:
            raise ValueError("BLOTTER_TLS_CLIENT_CRL requires BLOTTER_TLS_CLIENT_CA.")
        return self
