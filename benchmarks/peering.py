"""Starts the peers: what a user might write, or take, instead of the service.

They write to a database of their own on the same Postgres. A peer is one process, as the service is, with as many
database connections as the service has for traders.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import google.rpc
from psycopg.conninfo import conninfo_to_dict

from benchmarks import messages, processes
from benchmarks.harness import Arm, NotRun, Sample
from benchmarks.load.plan import MARK, Caller, Plan
from benchmarks.stage import PEERS, Stage

_NODE = PEERS / "node"
_PYTHON = PEERS / ".venv" / "bin" / "python"
_PROTOS = PEERS.parent.parent / "protos"
_DATABASE = "peer"
_FIELDS = "rowId traderId clientOrderId symbol side orderType quantity price status filledQuantity createdAt updatedAt"
_MUTATION = f"mutation($input: SubmitOrderInput!) {{ submitOrder(input: $input) {{ result {{ {_FIELDS} }} }} }}"


@asynccontextmanager
async def echo(target: str, folder: Path) -> AsyncIterator[int]:
    """Run the bare echo of the files of a folder; yield its process id."""
    async with processes.process((sys.executable, "-m", "benchmarks.peers.echo", target, str(folder)), target) as pid:
        yield pid


@asynccontextmanager
async def node(stage: Stage) -> AsyncIterator[Arm]:
    """Run the naive service in Node; yield its SubmitOrder."""
    program = _node_program()
    target = processes.free_address()
    includes = f"{_PROTOS}:{Path(google.rpc.__path__[0]).parent.parent}"
    command = (program, str(_NODE / "server.js"), target, includes)
    async with processes.process(command, target, _environment(_database(stage))) as pid:
        callers = [messages.new_orders(trader) for trader in messages.TRADERS]
        yield _arm(stage, pid, Plan(target, messages.ORDERS + "SubmitOrder", callers))


@asynccontextmanager
async def postgraphile(stage: Stage) -> AsyncIterator[Arm]:
    """Run PostGraphile; yield its mutation of the function of two inserts."""
    program = _node_program()
    target = processes.free_address()
    host, _, port = target.rpartition(":")
    parts = _database(stage)
    url = f"postgresql://peer@/{parts['dbname']}?{urlencode({'host': parts['host'], 'port': parts['port']})}"
    command = (program, str(_NODE / "node_modules/postgraphile/dist/cli-run.js"), "--config", "graphile.config.mjs")
    environment = {"NODE_ENV": "production", "GRAPHILE_ENV": "production", "DATABASE_URL": url}
    async with processes.process((*command, "--host", host, "--port", port), target, environment, _NODE) as pid:
        callers = [
            _json_caller({"query": _MUTATION, "variables": {"input": _order(camel=True) | {"traderId": str(trader)}}})
            for trader in messages.TRADERS
        ]
        yield _arm(stage, pid, Plan(target, "/graphql", callers, http1=True))


@asynccontextmanager
async def orm(stage: Stage) -> AsyncIterator[Arm]:
    """Run FastAPI with SQLAlchemy's ORM; yield its POST of an order."""
    if not _PYTHON.exists():
        raise NotRun("the packages of benchmarks/peers/requirements.lock are not installed: make bench does it")
    target = processes.free_address()
    host, _, port = target.rpartition(":")
    parts = _database(stage)
    url = f"postgresql+asyncpg://peer@/{parts['dbname']}?host={quote(str(parts['host']))}&port={parts['port']}"
    command = (str(_PYTHON), "-m", "uvicorn", "orm:app", "--host", host, "--port", port)
    quiet = ("--log-level", "warning", "--no-access-log")
    async with processes.process((*command, *quiet), target, {"DATABASE_URL": url}, PEERS) as pid:
        callers = [_json_caller(_order(), {"x-trader-id": str(trader)}) for trader in messages.TRADERS]
        yield _arm(stage, pid, Plan(target, "/orders", callers, http1=True))


def _node_program() -> str:
    program = shutil.which("node")
    if not program:
        raise NotRun("node is not installed")
    if not (_NODE / "node_modules" / "pg").is_dir():
        raise NotRun("the packages of benchmarks/peers/node are not installed: make bench does it, where npm is")
    return program


def _database(stage: Stage) -> Mapping[str, Any]:
    """Make the peers' database if there is none; return how to connect."""
    if _DATABASE not in stage.cluster.psql("SELECT datname FROM pg_database").split():
        stage.cluster.psql("CREATE ROLE peer LOGIN")
        stage.cluster.psql(f"CREATE DATABASE {_DATABASE} OWNER peer")
        stage.cluster.psql(PEERS / "schema.sql", user="peer", dbname=_DATABASE)
    return conninfo_to_dict(stage.cluster.conninfo(user="peer", dbname=_DATABASE))


def _environment(parts: Mapping[str, Any]) -> dict[str, str]:
    named = {"PGHOST": "host", "PGPORT": "port", "PGDATABASE": "dbname", "PGUSER": "user"}
    return {name: str(parts[part]) for name, part in named.items()} | {"NODE_ENV": "production"}


def _order(*, camel: bool = False) -> dict[str, Any]:
    names = ("clientOrderId", "orderType") if camel else ("client_order_id", "order_type")
    values = dict(zip(names, (MARK.decode(), "LIMIT"), strict=True))
    return values | {"symbol": "AAPL", "side": "BUY", "quantity": 100, "price": "585.33"}


def _json_caller(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Caller:
    return Caller(json.dumps(body).encode(), headers or {})


def _arm(stage: Stage, pid: int, plan: Plan) -> Arm:
    async def measure(seconds: float) -> Sample:
        return await stage.loads.measure(plan.during(seconds), pid)

    return measure
