"""Chooses the account that runs Postgres when root starts it, because Postgres refuses to run as root.

The first choice is a user namespace that maps root to another user id: root keeps owning the files, so that a database
in root's private home works and no folder's permissions change. Where namespaces are forbidden, as in most containers,
an ordinary account runs Postgres and owns the data. Other folders are not changed.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.embedded.errors import EmbeddedError

_ORDINARY_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An account to run a command as. `owner` is the user id that owns the files."""

    name: str
    owner: int
    prefix: tuple[str, ...] = ()
    group: int | None = None

    @property
    def popen(self) -> dict[str, Any]:
        """The arguments for `subprocess` that make the command run as this account."""
        return {} if self.group is None else {"user": self.owner, "group": self.group, "extra_groups": []}

    def take(self, path: Path) -> None:
        """Makes the account the owner of a new file or folder."""
        if self.group is not None:
            os.chown(path, self.owner, self.group)

    def refusal(self, folder: Path, program: Path) -> str | None:
        """Returns why the account cannot enter the folder or run the program; None when it can do both."""
        try:
            done = subprocess.run(
                [*self.prefix, "/bin/sh", "-c", 'cd "$1" && exec "$2" --version', "sh", folder, program],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                **self.popen,
            )
        except OSError as error:
            return str(error)
        return None if done.returncode == 0 else done.stderr.strip()


def account_for(folder: Path, data: Path, program: Path) -> Account:
    """Returns the account to run `program` on `data`, which is in `folder` and may not exist yet.

    Raises:
        EmbeddedError: this process runs as root and no account is suitable. The message gives the reasons.
    """
    if os.geteuid() != 0:
        return Account(name="", owner=os.geteuid())
    refusals = []
    for account in _candidates(folder):
        if data.exists() and data.stat().st_uid != account.owner:
            refusals.append(f"{account.name}: {data} belongs to user {data.stat().st_uid}")
            continue
        refusal = account.refusal(folder, program)
        if refusal is None:
            return account
        refusals.append(f"{account.name}: {refusal}")
    raise EmbeddedError(
        "Postgres does not run as root, and no other account can run it in this folder. Start the service as an "
        f"ordinary user, or in a folder that every account may enter. Tried: {'; '.join(refusals)}"
    )


def _candidates(folder: Path) -> Iterator[Account]:
    accounts = {entry.pw_uid: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    names = {entry.pw_name: entry for entry in accounts.values()}
    ordinary = [names[name] for name in _ORDINARY_ACCOUNTS if name in names]
    unshare = shutil.which("unshare")
    if unshare and ordinary:
        # Postgres looks up the name of its user id, so the id must have one.
        user, group = ordinary[-1].pw_uid, ordinary[-1].pw_gid
        mapping = (unshare, "--user", f"--map-user={user}", f"--map-group={group}")
        yield Account(name="root in a user namespace", owner=0, prefix=mapping)
    owners = [accounts[uid] for uid in (folder.stat().st_uid, folder.parent.stat().st_uid) if uid in accounts]
    for entry in [*owners, *ordinary]:
        yield Account(name=entry.pw_name, owner=entry.pw_uid, group=entry.pw_gid)
