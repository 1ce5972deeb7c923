"""Does what grpcurl does with the options of examples/identity: it learns the contract by reflection, and speaks JSON.

grpcurl.py -cacert FILE [-cert FILE -key FILE] [-H 'authorization: Bearer TOKEN'] [-d JSON] TARGET list|SERVICE/METHOD
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SECONDS = 30


class Headers(grpc.AuthMetadataPlugin):
    """Sends the headers with every call, those of reflection included."""

    def __init__(self, headers: list[str]) -> None:
        pairs = (header.split(":", 1) for header in headers)
        self._metadata = tuple((name.strip().lower(), value.strip()) for name, value in pairs)

    def __call__(self, context: grpc.AuthMetadataContext, callback: Callable[..., None]) -> None:
        callback(self._metadata, None)


def call(channel: grpc.Channel, what: str, data: str) -> None:
    """List the services, or call a method, and print the answers."""
    database = ProtoReflectionDescriptorDatabase(channel)
    if what == "list":
        click.echo("\n".join(database.get_services()))
        return
    pool = DescriptorPool(database)
    service, name = what.split("/")
    method = pool.FindServiceByName(service).FindMethodByName(name)
    request = json_format.Parse(data, GetMessageClass(method.input_type)(), descriptor_pool=pool)
    answer: Any = GetMessageClass(method.output_type)
    stub = channel.unary_stream(f"/{what}", type(request).SerializeToString, answer.FromString)
    for message in stub(request, timeout=SECONDS):
        click.echo(json_format.MessageToJson(message, descriptor_pool=pool))


def main() -> None:
    """Print the answers; exit with 64 and the number of the code after an error, as grpcurl does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-cacert", type=Path, required=True)
    parser.add_argument("-cert", type=Path)
    parser.add_argument("-key", type=Path)
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data", default="{}")
    parser.add_argument("target")
    parser.add_argument("what")
    given = parser.parse_args()
    certificate, key = (file.read_bytes() if file else None for file in (given.cert, given.key))
    tls = grpc.ssl_channel_credentials(given.cacert.read_bytes(), key, certificate)
    credentials = grpc.composite_channel_credentials(tls, grpc.metadata_call_credentials(Headers(given.headers)))
    with grpc.secure_channel(given.target, credentials) as channel:
        try:
            call(channel, given.what, given.data)
        except grpc.RpcError as error:
            code = error.code()
            name = code.name.title().replace("_", "")
            click.echo(f"ERROR:\n  Code: {name}\n  Message: {error.details()}", err=True)
            sys.exit(64 + code.value[0])


if __name__ == "__main__":
    main()
