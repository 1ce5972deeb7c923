"""Mutants of what callers share: the calls in work, the turns of the event loop, the messages to the database."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

SHARES = "service/interceptors/shares.py"
LIMITS = "service/interceptors/limits.py"
PORTIONS = "service/domain/portions.py"
HEARTBEATS = "service/streams/heartbeats.py"
COMBINING = "service/repositories/combining.py"

SHARED = ("tests/rpc/test_shares.py",)
RULES = ("tests/rpc/test_shares.py -k exceeds or whole_share or cancelled_make",)
LOCKED = ("tests/rpc/test_shares.py -k again_and_again",)
LATE = ("tests/rpc/test_shares.py -k deadline",)
MANY = ("tests/rpc/test_shares.py -k more_calls",)
RATE = ("tests/rpc/test_limits.py",)
PORTION = ("tests/unit/test_portions.py",)
BEATS = ("tests/streams/test_heartbeats.py",)
HELD = ("tests/database/test_combining.py -k few_calls",)

MUTANTS = (
    Mutant(SHARES, "            if calls.waiting or not calls.fits(weight, self._share(key)):", "            if False:", RULES),
    Mutant(SHARES, "if calls.waiting or not calls", "if not calls", SHARED, explained="a call may pass others of its own caller"),
    Mutant(SHARES, "                calls.uncount(context)\n", "", RULES),
    Mutant(SHARES, "                calls.uncount(context)\n                self._begin_waiting(key, calls)\n", "                calls.uncount(context)\n", RULES),
    Mutant(SHARES, "self.next_place_at() <= now", "False", LOCKED),
    Mutant(SHARES, "self.weight + weight <= share", "self.weight + weight <= share + 1", RULES),
    Mutant(SHARES, "return not self.in_work or", "return", RULES),
    Mutant(SHARES, "        self.weight -= weight\n", "", RULES),
    Mutant(SHARES, "or len(calls.waiting) >= self._most_waiting_of_one", "", MANY),
    Mutant(SHARES, "Deadlines(CALLER.get().deadline).waits_until - time.monotonic()", "3600", LATE),
    Mutant(SHARES, "                calls.waiting.remove(waits)\n", "                pass\n", SHARED),
    Mutant(SHARES, "            calls.uncount(call)\n            self._begin", "            self._begin", RULES),
    Mutant(SHARES, "                raise self._busy(key) from error\n", "                raise\n", LATE),
    Mutant(SHARES, "            self._waiting -= 1\n", "            pass\n", RULES),
    Mutant(SHARES, "            if not granted.done():\n", "            if True:\n", RULES),
    Mutant(SHARES, " and self._callers.get(key) is calls", "", LOCKED, explained="it forgets calls in work, whose caller may have more"),
    Mutant(SHARES, "            del self._callers[key]\n", "            pass\n", RULES),
    Mutant(SHARES, "        calls.timer = None\n", "", LOCKED),
    Mutant(LIMITS, "math.ceil(rows / ROWS_A_CALL)", "1", RATE),
    Mutant(LIMITS, "min(getattr(request, \"page_size\", 0), LONGEST_PAGE)", "getattr(request, \"page_size\", 0)", RATE),
    Mutant(PORTIONS, "        if len(self._waiting) == 1:\n", "        if True:\n", PORTION),
    Mutant(PORTIONS, "        if self._waiting:\n            asyncio", "        if False:\n            asyncio", PORTION),
    Mutant(PORTIONS, "        if not woken.done():", "        if True:", PORTION),
    Mutant(PORTIONS, "self._end = time.perf_counter() + PORTION_SECONDS\n\n\nasync def in", "pass\n\n\nasync def in", PORTION),
    Mutant(PORTIONS, "            await portions.next()\n", "            pass\n", PORTION),
    Mutant(HEARTBEATS, "if moment < self._next:", "if self._timer is None:", BEATS),
    Mutant(HEARTBEATS, " + EARLY_SECONDS", " + 1", BEATS),
    Mutant(HEARTBEATS, "                wake(waits.pop())\n", "                waits.pop()\n", BEATS),
    Mutant(HEARTBEATS, "            waits.discard(woken)\n", "", BEATS),
    Mutant(COMBINING, "len(self._waiting) < WORTH_A_MESSAGE", "True", HELD),
    Mutant(COMBINING, "call_later(HELD_SECONDS, self._end_hold)", "call_later(3600, self._end_hold)", HELD),
    Mutant(COMBINING, "            self._hold()\n", "", HELD),
    Mutant(COMBINING, "        else:\n            self._end_hold()\n", "        else:\n            self.send()\n", HELD),
)  # fmt: skip
