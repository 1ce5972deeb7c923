"""Mutants of the parent of workers and of its children."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

BACKOFF = "service/workers/backoff.py"
CHILD = "service/workers/child.py"
FAMILIES = "service/workers/families.py"
SUPERVISED = "service/workers/supervised.py"
PARENT = "service/workers/parent.py"
RESERVATION = "service/workers/reservation.py"
GROUP = "service/workers/group.py"
SEQUENCE = "service/sequence.py"

PAUSES = ("tests/workers/test_kept.py -k pauses or restart_loop_unless",)
STUCK = ("tests/workers/test_kept.py -k stuck",)
SILENT = ("tests/workers/test_kept.py -k silent",)
RESERVED = ("tests/workers/test_kept.py -k reserved",)
MOMENT = ("tests/workers/test_kept.py -k same_moment",)
JOINED = ("tests/workers/test_kept.py -k joined",)
LOOP = ("tests/workers/test_kept.py -k restart_loop_ends",)
DROPPED = ("tests/workers/test_kept.py -k dropped",)
FAILED = ("tests/workers/test_kept.py -k task_that_fails",)
REASON = ("tests/workers/test_kept.py -k reason",)
ORPHANS = ("tests/workers/test_ends.py -k parent_is_killed",)
DRAINED = ("tests/workers/test_ends.py -k drain",)
TOLD = ("tests/workers/test_ends.py -k learn_of_a_commit",)
WITHOUT = ("tests/workers/test_whole.py -k without_a_worker",)
LEDGER = ("tests/workers/test_whole.py -k killed_sequencer",)
BOTH = ("tests/workers/test_whole.py -k both_workers",)
ALONE = ("tests/workers/test_sequence.py -k command_sequences",)

MUTANTS = (
    Mutant(BACKOFF, "self._ends = self._faults = 0", "self._faults = 0", PAUSES),
    Mutant(BACKOFF, "self._ends = self._faults = 0", "self._ends = 0", PAUSES),
    Mutant(BACKOFF, "self._faults += fault", "self._faults += 1", PAUSES),
    Mutant(BACKOFF, "LONGEST_PAUSE_SECONDS)", "60.0)", PAUSES),
    Mutant(CHILD, "        self.stop.set()\n", "", ORPHANS),
    Mutant(CHILD, "                    self._hinted(None if one is None else UUID(one))\n", "                    pass\n", TOLD),
    Mutant(CHILD, "        self._hints.clear()\n", "", TOLD),
    Mutant(CHILD, "        health.on_change(self._report)\n", "", LEDGER,
           explained="the next report, within a second, says the same"),
    Mutant(CHILD, "            self._health.set(LEDGER, self._ledger)", "            pass", LEDGER),
    Mutant(FAMILIES, 'labels | {"worker": worker} if worker else labels', "labels", JOINED),
    Mutant(SUPERVISED, "return self.serves and self._unheard > SILENT_LOOKS", "return False", STUCK),
    Mutant(SUPERVISED, "STUCK_LOOKS)\n            self.kill()", "STUCK_LOOKS)", STUCK),
    Mutant(SUPERVISED, "self._unheard, self.health = 0, health", "self.health = health", SILENT),
    Mutant(SUPERVISED, "return self._backoff.looping and not healthy", "return self._backoff.looping", LOOP),
    Mutant(SUPERVISED, "            self._restarts.inc()\n", "", STUCK),
    Mutant(SUPERVISED, "                    self._failure, self._unavailable = content", "                    pass", REASON),
    Mutant(SUPERVISED, "        self._ending.set()\n        process", "        process", DRAINED),
    Mutant(SUPERVISED, "            self.health = {}\n            self._supervisor", "            self._supervisor", WITHOUT),
    Mutant(SUPERVISED, "start_new_session=True", "start_new_session=False", DRAINED,
           explained="only Ctrl-C at a terminal shows it: the children would begin their end beside the parent"),
    Mutant(PARENT, "        stop.push_async_callback(_end, group, tasks, settings.grace_seconds + KILL_AFTER_GRACE_SECONDS)\n", "", DRAINED),
    Mutant(RESERVATION, "        first.listen()", "        pass", MOMENT),
    Mutant(RESERVATION, "second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)", "pass", RESERVED),
    Mutant(RESERVATION, "            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n", "", RESERVED),
    Mutant(GROUP, "return any(one.reported", "return all(one.reported", WITHOUT),
    Mutant(GROUP, "one.looping or ", "", LOOP),
    Mutant(GROUP, "one.unkillable or ", "", SILENT),
    Mutant(SUPERVISED, "            self._send_ledger()\n        if self._unheard", "        if self._unheard", DROPPED),
    Mutant(CHILD, "            self.failed = task.get_name()\n            self.stop.set()\n", "", FAILED),
    Mutant(SUPERVISED, "stated and not self.silent", "stated", SILENT),
    Mutant(GROUP, "            if one is not sender:\n                one.tell_committed(traders)", "            pass", TOLD),
    Mutant(GROUP, "self.metrics.health_serving.labels(name).set(serving)", "pass", BOTH),
    Mutant(SEQUENCE, "Metrics(of_calls=False)", "Metrics()", ALONE),
    Mutant(SEQUENCE, "        health.set(STARTUP, serving=True)\n", "", ALONE),
)  # fmt: skip
