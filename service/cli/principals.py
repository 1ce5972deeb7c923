"""`blotter principals`: what the subjects of tokens and of client certificates may call as."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import click

from service.cli import provisioning
from service.domain.identity import CERTIFICATES, CallerKind
from service.repositories import principals as repository
from service.settings import Settings

Command = Callable[..., None]

ROLES = [CallerKind.EXECUTION.value, CallerKind.COMPLIANCE.value]


def _issuer(command: Command) -> Command:
    return click.option(
        "--issuer",
        help=f"The issuer of the tokens, or {CERTIFICATES} for client certificates; default: as BLOTTER_AUTH and "
        "BLOTTER_JWT_ISSUER state.",
    )(command)


def _chosen(issuer: str | None, settings: Settings) -> str:
    if issuer is not None:
        return issuer
    if settings.auth == "mtls":
        return CERTIFICATES
    if settings.jwt_issuer is None:
        raise click.UsageError(f"Name --issuer: the issuer of the tokens, or {CERTIFICATES} for client certificates.")
    return settings.jwt_issuer


@click.group()
def principals() -> None:
    """Register what the subjects of tokens and of client certificates may call as."""


@principals.command()
@click.argument("subject")
@click.option("--trader", "trader_id", type=click.UUID, help="The trader that it is.")
@click.option("--role", type=click.Choice(ROLES), help="The role that it has.")
@click.option("--desk", "desk_id", type=click.UUID, help="The desk that it supervises.")
@click.option("--actor", help="The actor that logs record; default: the claim of the token, or SUBJECT.")
@_issuer
def add(
    subject: str,
    trader_id: UUID | None,
    role: str | None,
    desk_id: UUID | None,
    actor: str | None,
    issuer: str | None,
) -> None:
    """Register SUBJECT, the claim sub of the tokens, or the SPIFFE id or subject of the certificate."""
    if sum(given is not None for given in (trader_id, role, desk_id)) != 1:
        raise click.UsageError("Name exactly one of --trader, --role and --desk.")
    kind = CallerKind(role) if role else CallerKind.TRADER if trader_id else CallerKind.DESK
    settings = Settings()
    chosen = _chosen(issuer, settings)
    with provisioning.owned(settings) as conninfo:
        repository.add(conninfo, chosen, subject, kind, trader_id=trader_id, desk_id=desk_id, actor=actor)
    what = trader_id or desk_id
    click.echo(f"{subject} of {chosen} calls as {kind}{f' {what}' if what else ''}.")


@principals.command()
@click.argument("subject")
@_issuer
def disable(subject: str, issuer: str | None) -> None:
    """Refuse the calls of SUBJECT and end its streams, within some seconds."""
    settings = Settings()
    chosen = _chosen(issuer, settings)
    with provisioning.owned(settings) as conninfo:
        repository.disable(conninfo, chosen, subject)
    click.echo(f"{subject} of {chosen} is disabled.")


@principals.command()
@click.argument("subject")
@_issuer
def enable(subject: str, issuer: str | None) -> None:
    """Accept the calls of SUBJECT again."""
    settings = Settings()
    chosen = _chosen(issuer, settings)
    with provisioning.owned(settings) as conninfo:
        repository.enable(conninfo, chosen, subject)
    click.echo(f"{subject} of {chosen} is enabled.")


@principals.command("list")
def list_() -> None:
    """List the principals: issuer, what each calls as, actor if one is registered, subject, whether it is disabled."""
    with provisioning.owned(Settings()) as conninfo:
        for principal in repository.list_all(conninfo):
            what = principal.trader_id or principal.desk_id
            kind = f"{principal.kind}={what}" if what else principal.kind
            actor = f"  actor={principal.actor}" if principal.actor else ""
            disabled = "  (disabled)" if principal.disabled_at else ""
            click.echo(f"{principal.issuer}  {kind}{actor}  {principal.subject}{disabled}")
