"""Mutants of the sequencer, its signing and publishing, and of the streams."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

SEQUENCER = "service/sequencing/sequencer.py"
CHECKPOINTS = "service/sequencing/checkpoints.py"
PUBLISHING = "service/sequencing/publishing.py"
SINKS = "service/sequencing/sinks.py"
FEED = "service/streams/feed.py"
FOLLOW = "service/streams/follow.py"
WRITES = "service/interceptors/backpressure.py"
TOKENS = "service/streams/tokens.py"
REQUESTS = "service/streams/requests.py"
TAIL = "service/streams/tail.py"
MATCHING = "service/streams/matching.py"
MESSAGES = "service/streams/messages.py"

WITNESSED = ("tests/ledger/test_checkpoints.py -k contradicts or witness or cosignatures",)
WITNESS = ("tests/ledger/test_checkpoints.py -k faulty_witness",)
AGAIN = ("tests/ledger/test_condition.py -k offered_again", "tests/ledger/test_checkpoints.py -k cosignatures")
REFUSALS = ("tests/ledger/test_refusals.py", "tests/ledger/test_checkpoints.py -k one_process")
KEYS = ("tests/ledger/test_checkpoints.py -k keys or right_key",)
LOCK = ("tests/ledger/test_crashes.py -k takes_the_sequencers_lock",)
FOLLOWING = ("tests/streams/test_feed.py", "tests/streams/test_following.py")
BACK = ("tests/streams/test_backpressure.py",)
DRAIN = ("tests/streams/test_drain.py", "tests/streams/test_slow_consumer.py")
TOKEN = ("tests/unit/test_tokens.py",)
SHARING = ("tests/streams/test_sharing.py",)
METHODS = ("tests/streams/test_sharing.py -k methods",)
FILTERED = ("tests/streams/test_sharing.py -k over_all_traders",)
SHORTER = ("tests/streams/test_watch.py -k shorter",)
WATCHED = ("tests/streams/test_watch.py -k snapshot_then",)
MATCHED = ("tests/streams/test_matching.py",)
MESSAGE = ("tests/streams/test_messages.py",)

MUTANTS = (
    # The sequencer's loop.
    Mutant(SEQUENCER, "        self._condition.reset()\n        while True", "        while True", ("tests/ledger/test_sequencer.py -k lost_connection",)),
    Mutant(SEQUENCER, "except LedgerMoved:\n                log", "except ZeroDivisionError:\n                log", ("tests/ledger/test_sequencer.py -k begins_anew",)),
    Mutant(SEQUENCER, 'self._condition.report_failure("appending", COPIED)', "pass", ("tests/ledger/test_condition.py -k copy",)),
    Mutant(SEQUENCER, "except LedgerDamaged as error:\n                self._condition.report_failure(\n",
           "except LedgerDamaged as error:\n                str(\n", ("tests/ledger/test_sequencer.py -k place_of_the_next_entry",)),
    Mutant(SEQUENCER, 'self._condition.report_failure("appending", f"The sequencer cannot work: {error}")', "pass", ("tests/ledger/test_sequencer.py -k lost_connection",)),
    Mutant(SEQUENCER, 'self._condition.report_failure("appending", f"The sequencer failed: {summary(error)}", traceback=True)', "pass", ("tests/ledger/test_sequencer.py -k unforeseen_error",)),
    Mutant(SEQUENCER, 'self._condition.report_failure("appending", f"The sequencer failed: {summary(error)}", traceback=True)', "raise", ("tests/ledger/test_sequencer.py -k unforeseen_error",)),
    Mutant(SEQUENCER, "while not await writer.elected():", "while False:", ("tests/ledger/test_sequencer.py -k without_the_lock",)),
    Mutant(SEQUENCER, "                return  # two at once", "                # two at once", LOCK),
    Mutant(SEQUENCER, 'holder.login != "blotter_sequencer"', "True", ("tests/ledger/test_sequencer.py -k without_the_lock",)),
    Mutant(SEQUENCER, '            self._condition.report_success("appending")\n            if self._clock() >= due:',
           "            if self._clock() >= due:", ("tests/ledger/test_sequencer.py -k watch_that_fails",)),
    Mutant(SEQUENCER, "            _raise_if_ended(watching)\n", "", ("tests/ledger/test_sequencer.py -k watch_that_fails",)),
    Mutant(SEQUENCER, "                self._news.clear()\n", "", ("tests/ledger/test_sequencer.py -k idle_sequencer",)),
    Mutant(SEQUENCER, "        self._news.set()\n", "        pass\n", ("tests/ledger/test_sequencer.py -k idle_sequencer",)),
    Mutant(SEQUENCER, '                self._condition.report_success("appending")\n                if not tasks:', "                if not tasks:", ("tests/ledger/test_sequencer.py -k lost_connection",)),
    Mutant(SEQUENCER, "                _raise_if_ended(*tasks)\n", "", ("tests/ledger/test_sequencer.py -k begins_anew",)),
    Mutant(SEQUENCER, "                    self._appended()\n", "                    pass\n", ("tests/ledger/test_sequencer.py -k busy_sequencer",)),
    Mutant(SEQUENCER, "if appended < PORTION:", "if appended <= PORTION:", ("tests/ledger/test_sequencer.py -k backlog",)),
    Mutant(SEQUENCER, "if appended < PORTION:", "if not appended:", ("tests/ledger/test_sequencer.py -k backlog",),
           explained="after a portion that was not full it looks again at once instead of after the poll: one look more"),
    Mutant(SEQUENCER, "if self._clock() - active > BUSY_SECONDS:", "if True:", ("tests/ledger/test_sequencer.py -k busy_sequencer",)),
    Mutant(SEQUENCER, "if self._clock() - active > BUSY_SECONDS:", "if False:", ("tests/ledger/test_sequencer.py -k idle_sequencer",)),
    Mutant(SEQUENCER, "if appended:\n                    active = self._clock()\n", "if appended:\n", ("tests/ledger/test_sequencer.py -k busy_for_a_while",)),
    Mutant(SEQUENCER, "        task.cancel()\n", "        pass\n", ("tests/ledger/test_sequencer.py -k backlog",)),
    # Signing, as the sequencer sees it.
    Mutant(SEQUENCER, "            if publishing.contradiction:", "            if False:", WITNESSED),
    Mutant(SEQUENCER, "            if not begun:", "            if False:", ("tests/ledger/test_checkpoints.py -k contradicts",)),
    Mutant(SEQUENCER, "                begun = True\n", "                pass\n", ("tests/ledger/test_sequencer.py -k begins_anew",)),
    Mutant(SEQUENCER, "publishing.offer(await self._checkpoints.begin(writer, tree))",
           "await self._checkpoints.begin(writer, tree)", AGAIN),
    Mutant(SEQUENCER, "publishing.offer(await self._checkpoints.sign(writer, tree))",
           "await self._checkpoints.sign(writer, tree)", ("tests/ledger/test_checkpoints.py -k while_it_grows",)),
    Mutant(SEQUENCER, "except (LedgerMoved, DatabaseUnavailable):\n            raise\n        except", "except", ("tests/ledger/test_sequencer.py -k begins_anew",)),
    Mutant(SEQUENCER, 'self._condition.report_failure("signing", f"No checkpoint is signed. {error}")', "pass",
           ("tests/ledger/test_condition.py -k without_keys",)),
    Mutant(SEQUENCER, 'self._condition.report_failure("signing", f"No checkpoint is signed. {summary(error)}", traceback=True)', "raise",
           ("tests/ledger/test_condition.py -k of_any_kind",)),
    Mutant(SEQUENCER, 'self._condition.report_success("signing")', "pass", ("tests/ledger/test_condition.py -k of_any_kind",)),
    # What is signed.
    Mutant(CHECKPOINTS, "if not note.signed_by([verifier for verifier in verifiers if verifier.name == checkpoint.origin]):", "if False:", REFUSALS),
    Mutant(CHECKPOINTS, "+ ([self._newest] if self._newest else [])", "", REFUSALS),
    Mutant(CHECKPOINTS, "            await self._compare(writer, size, checkpoint)\n", "            pass\n", REFUSALS),
    Mutant(CHECKPOINTS, "if signer.name != self._origin:", "if False:", KEYS),
    Mutant(CHECKPOINTS, "if self._recorded != vkeys:", "if False:", KEYS),
    Mutant(CHECKPOINTS, "if Edge(size, await writer.tiles(edge(size))).root() != root:", "if False:", REFUSALS),
    Mutant(CHECKPOINTS, "            await self._prove(writer, self._newest, size, root)\n", "            pass\n",
           REFUSALS),
    Mutant(CHECKPOINTS, "if checkpoint.origin != self._origin:", "if False:", REFUSALS),
    Mutant(CHECKPOINTS, "if checkpoint.size > size:", "if False:", REFUSALS),
    Mutant(CHECKPOINTS, "if root_over((0, checkpoint.size), tiles) != checkpoint.root:", "if False:", REFUSALS),
    Mutant(PUBLISHING, "RETRY_SECONDS if failure else None", "None", AGAIN),
    Mutant(PUBLISHING, "if newest is None or newest.size == size or", "if", WITNESSED),
    Mutant(PUBLISHING, "self.contradiction = str(error)", "pass", WITNESSED),
    Mutant(PUBLISHING, "[*note.signatures, *cosigned]", "[*note.signatures]", AGAIN),
    Mutant(SINKS, ".size > checkpoint.size and", ".size > checkpoint.size + 9 and", ("tests/ledger/test_checkpoints.py -k older_checkpoint",)),
    Mutant(SINKS, "if conflict.known > size:", "if False:", WITNESSED),
    Mutant(SINKS, "self.verifier.verify(note.text, signature.signature)", "pass", WITNESS),
    Mutant(SINKS, "if answer.status == 422:", "if False:", WITNESSED),
    Mutant(SINKS, "if len(body) > _LARGEST_ANSWER:", "if False:", WITNESS),
    Mutant(WRITES, "if self._draining:\n            raise Draining", "if False:\n            raise Draining", BACK),
    Mutant(WRITES, "if self.error is None and not self._timeout.expired():", "if self.error is None:", BACK),
    Mutant(WRITES, "            self._timeout.reschedule(0)\n", "            pass\n", BACK),
    Mutant(WRITES, "            if self.error is None or not self._timeout.expired():\n                raise\n", "", BACK),
    Mutant(WRITES, "await self._send(context.send_initial_metadata(()))", "pass", DRAIN),
    Mutant(WRITES, "async with asyncio.timeout(self._patience):", "async with asyncio.timeout(None):", BACK),
    Mutant(WRITES, 'token = getattr(message, "resume_token", "") or token', "pass", BACK),
    Mutant(WRITES, 'error.metadata.setdefault("resume_token", token)', "pass", BACK),
    Mutant(WRITES, "raise SlowConsumer from error", "raise Draining from error", BACK),
    Mutant(WRITES, "return message.data if type(message) is Encoded else", "return", WATCHED),
    Mutant(FEED, "del tails[key]", "pass", FOLLOWING),
    Mutant(FEED, "if shorter or cursor > tail.head:", "if False:", FOLLOWING),
    Mutant(FEED, "if shorter or cursor > tail.head:", "if cursor > tail.head:", FOLLOWING),
    Mutant(FEED, "if shorter or cursor > tail.head:", "if shorter or cursor > tail.head + 1:", FOLLOWING),
    Mutant(FEED, "for trader_id in (*watched, None):", "for trader_id in cursors:", FOLLOWING),
    Mutant(FEED, "if state == self._state and now < self._complete_at:", "if False:", FOLLOWING),
    Mutant(FEED, "if state == self._state and now < self._complete_at:", "if state == self._state:", FOLLOWING),
    Mutant(FEED, "                    self._hint_all()\n", "                    pass\n", FOLLOWING),
    Mutant(FEED, "key = (stream.method.name, caller.kind, caller.desk_id, shared)", "key = (stream.method.name, caller.kind, None, shared)", SHARING,
           explained="the digest of the binding names the desk as well"),
    Mutant(FEED, "key = (stream.method.name, caller.kind, caller.desk_id, shared)", "key = ('', caller.kind, caller.desk_id, shared)", METHODS),
    Mutant(FEED, "shared = None if trader_id else stream.binding.digest", "shared = None", FILTERED),
    Mutant(FOLLOW, "if not stream.live:", "if False:", FOLLOWING),
    Mutant(FOLLOW, "if _clock() >= position.due:\n                yield", "if False:\n                yield", FOLLOWING),
    Mutant(FOLLOW, "if batch.cursor < position.cursor:", "if False:", SHORTER),
    Mutant(FOLLOW, "position.cursor = chosen[-1].cursor if entries else batch.cursor", "position.cursor = batch.cursor", SHARING),
    Mutant(FOLLOW, "            position.cursor = batch.cursor\n            if not", "            if not", FOLLOWING),
    Mutant(FOLLOW, "beat.last_position = position.cursor - 1", "beat.last_position = position.cursor", FOLLOWING),
    Mutant(FOLLOW, "beat.last_event_sequence = position.last or 0", "beat.last_event_sequence = position.cursor", FOLLOWING),
    Mutant(REQUESTS, "if not least <= cursor <= most:", "if not least <= cursor:", FOLLOWING),
    Mutant(REQUESTS, "if not least <= cursor <= most:", "if not cursor <= most:", FOLLOWING),
    Mutant(REQUESTS, "tokens.Binding(self.method.name, of, self.filter)", "tokens.Binding(of, self.filter)", FOLLOWING),
    Mutant(REQUESTS, "tokens.Binding(self.method.name, of, self.filter)", "tokens.Binding(self.method.name, self.filter)", FOLLOWING),
    Mutant(REQUESTS, "tokens.Binding(self.method.name, of, self.filter)", "tokens.Binding(self.method.name, of)", FOLLOWING),
    Mutant(TAIL, "if self._alone or cursor < tail.start:", "if self._alone:", SHARING),
    Mutant(TAIL, "if self._alone or cursor < tail.start:", "if cursor < tail.start:", SHARING),
    Mutant(TAIL, "elif batch.cursor < known:", "elif False:", SHARING),
    Mutant(TAIL, "tail.messages.get((self._key, cursor))", "tail.messages.get((b'', cursor))", SHARING),
    Mutant(TAIL, "        self.messages.clear()\n        self.entries +=", "        self.entries +=", SHARING,
           explained="a stream that is further behind gets an older message first, and then the rest"),
    Mutant(TAIL, "        self._keep_within_bounds()\n", "", SHARING),
    Mutant(TAIL, "self.start = start", "pass", SHARING),
    Mutant(TAIL, "if len(self.waiting) == len(self.members) and self._reading is None:", "if False:", SHARING),
    Mutant(TAIL, "        elif cursor > self.head:\n            self._hinted = True\n", "", SHARING,
           explained="the feed's poll finds what the stream has read before its tail"),
    Mutant(TAIL, "            entries = [entry for entry in entries if matches(entry.event.log)]\n", "            pass\n", SHARING),
    Mutant(TAIL, "reached = tail.head if len(chosen) == len(entries) else last.cursor", "reached = tail.head", SHARING),
    Mutant(MATCHING, "if getattr(log, column) not in values:", "if values and getattr(log, column) not in values:", MATCHED),
    Mutant(MATCHING, "labels <= log.labels.items()", "labels == log.labels.items()", MATCHED),
    Mutant(MATCHING, "log.labels is not None and labels", "labels", MATCHED,
           explained="a log without labels has an error then, not another selection"),
    Mutant(MESSAGES, "if size >= MESSAGE_BYTES:", "if False:", MESSAGE),
    Mutant(MESSAGES, "while number > 0x7F:", "while number > 0x80:", MESSAGE),
    Mutant(TOKENS, "check != self._check(payload)", "False", TOKEN),
    Mutant(TOKENS, "or canonical != token", "", TOKEN),
    Mutant(TOKENS, "if not 0 <= number < 2**63:", "if not 0 <= number:", ("tests/rpc/test_pages.py -k forged",)),
    Mutant(TOKENS, "if value.utcoffset() != timedelta(0):", "if False:", TOKEN),
)  # fmt: skip
