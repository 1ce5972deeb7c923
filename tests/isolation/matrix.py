"""The outcome of each command of each login on each table, under each identity, on a row of ALICE or of nobody.

    row      it reads, inserts, changes or removes the row
    nothing  it sees no such row
    42501    refused: not granted, or the row is not its own
    22P02    refused: the identity is no UUID
    0A000    refused: COPY FROM under row level security; TRUNCATE of what foreign keys refer to
    23503    refused: others refer to the row
    23505    refused: the row exists already; reported only to the row's own trader
    23514    refused by a trigger: a login does not sign a ledger that it does not see, the counter is not decreased

blotter_writer, as which nobody logs in, is a superuser after SET ROLE.

Identities: `own` is ALICE, `other` is BOB; with `none` the setting is never set, with `empty` it is '', with
`damaged` it is 'not-a-uuid'. For blotter_desk they are desks: ALICE is of the first, BOB of the second.
"""

from __future__ import annotations

IDENTITIES = ("own", "other", "none", "empty", "damaged")
COMMANDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "COPY TO", "COPY FROM")

MATRIX = """
traders as blotter_trader               own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
traders as blotter_execution            own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
traders as blotter_compliance           own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
traders as blotter_desk                 own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
traders as blotter_sequencer            own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
traders as blotter_owner                own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              row      row      row      row      row
    UPDATE                              row      row      row      row      row
    DELETE                              23503    23503    23503    23503    23503
    TRUNCATE                            0A000    0A000    0A000    0A000    0A000
    COPY TO                             row      row      row      row      row
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
traders as blotter_writer               own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501

desks as blotter_trader                 own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
desks as blotter_execution              own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
desks as blotter_compliance             own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
desks as blotter_desk                   own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
desks as blotter_sequencer              own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
desks as blotter_owner                  own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              row      row      row      row      row
    UPDATE                              row      row      row      row      row
    DELETE                              23503    23503    23503    23503    23503
    TRUNCATE                            0A000    0A000    0A000    0A000    0A000
    COPY TO                             row      row      row      row      row
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
desks as blotter_writer                 own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501

principals as blotter_trader            own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
principals as blotter_execution         own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
principals as blotter_compliance        own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
principals as blotter_desk              own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
principals as blotter_sequencer         own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
principals as blotter_owner             own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              row      row      row      row      row
    UPDATE                              row      row      row      row      row
    DELETE                              row      row      row      row      row
    TRUNCATE                            row      row      row      row      row
    COPY TO                             row      row      row      row      row
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
principals as blotter_writer            own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501

identity_keys as blotter_trader         own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
identity_keys as blotter_execution      own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
identity_keys as blotter_compliance     own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
identity_keys as blotter_desk           own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
identity_keys as blotter_sequencer      own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
identity_keys as blotter_owner          own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              row      row      row      row      row
    UPDATE                              row      row      row      row      row
    DELETE                              row      row      row      row      row
    TRUNCATE                            row      row      row      row      row
    COPY TO                             row      row      row      row      row
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
identity_keys as blotter_writer         own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501

orders as blotter_trader                own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
orders as blotter_execution             own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
orders as blotter_compliance            own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
orders as blotter_desk                  own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
orders as blotter_sequencer             own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
orders as blotter_owner                 own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            0A000    0A000    0A000    0A000    0A000
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
orders as blotter_writer                own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              row      42501    42501    42501    22P02
    UPDATE                              row      nothing  nothing  nothing  22P02
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           0A000    0A000    0A000    0A000    0A000

fills as blotter_trader                 own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
fills as blotter_execution              own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
fills as blotter_compliance             own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
fills as blotter_desk                   own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
fills as blotter_sequencer              own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
fills as blotter_owner                  own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            0A000    0A000    0A000    0A000    0A000
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
fills as blotter_writer                 own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              row      42501    42501    42501    22P02
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           0A000    0A000    0A000    0A000    0A000

fill_corrections as blotter_trader      own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
fill_corrections as blotter_execution   own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
fill_corrections as blotter_compliance  own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
fill_corrections as blotter_desk        own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
fill_corrections as blotter_sequencer   own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
fill_corrections as blotter_owner       own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
fill_corrections as blotter_writer      own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              row      42501    42501    42501    22P02
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           0A000    0A000    0A000    0A000    0A000

execution_logs as blotter_trader        own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
execution_logs as blotter_execution     own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
execution_logs as blotter_compliance    own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
execution_logs as blotter_desk          own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
execution_logs as blotter_sequencer     own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
execution_logs as blotter_owner         own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            0A000    0A000    0A000    0A000    0A000
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
execution_logs as blotter_writer        own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              row      42501    42501    42501    22P02
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           0A000    0A000    0A000    0A000    0A000

trader_sequences as blotter_trader      own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
trader_sequences as blotter_execution   own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
trader_sequences as blotter_compliance  own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
trader_sequences as blotter_desk        own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
trader_sequences as blotter_sequencer   own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
trader_sequences as blotter_owner       own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            23514    23514    23514    23514    23514
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
trader_sequences as blotter_writer      own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              23505    42501    42501    42501    22P02
    UPDATE                              row      nothing  nothing  nothing  22P02
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           0A000    0A000    0A000    0A000    0A000

cancel_timers as blotter_trader         own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
cancel_timers as blotter_execution      own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
cancel_timers as blotter_compliance     own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
cancel_timers as blotter_desk           own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
cancel_timers as blotter_sequencer      own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
cancel_timers as blotter_owner          own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            row      row      row      row      row
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
cancel_timers as blotter_writer         own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              23505    42501    42501    42501    22P02
    UPDATE                              row      nothing  nothing  nothing  22P02
    DELETE                              row      nothing  nothing  nothing  22P02
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           0A000    0A000    0A000    0A000    0A000

alembic_version as blotter_trader       own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
alembic_version as blotter_execution    own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
alembic_version as blotter_compliance   own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
alembic_version as blotter_desk         own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
alembic_version as blotter_sequencer    own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
alembic_version as blotter_owner        own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              row      row      row      row      row
    UPDATE                              row      row      row      row      row
    DELETE                              row      row      row      row      row
    TRUNCATE                            row      row      row      row      row
    COPY TO                             row      row      row      row      row
    COPY FROM                           row      row      row      row      row
alembic_version as blotter_writer       own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501

ledger_entries as blotter_trader        own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
ledger_entries as blotter_execution     own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
ledger_entries as blotter_compliance    own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
ledger_entries as blotter_desk          own      other    none     empty    damaged
    SELECT                              row      nothing  nothing  nothing  22P02
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      nothing  nothing  nothing  22P02
    COPY FROM                           42501    42501    42501    42501    42501
ledger_entries as blotter_sequencer     own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              row      row      row      row      row
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
ledger_entries as blotter_owner         own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
ledger_entries as blotter_writer        own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501

ledger_tiles as blotter_trader          own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
ledger_tiles as blotter_execution       own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
ledger_tiles as blotter_compliance      own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
ledger_tiles as blotter_desk            own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
ledger_tiles as blotter_sequencer       own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              23514    23514    23514    23514    23514
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
ledger_tiles as blotter_owner           own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
ledger_tiles as blotter_writer          own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501

ledger_checkpoints as blotter_trader    own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
ledger_checkpoints as blotter_execution own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
ledger_checkpoints as blotter_compliance own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
ledger_checkpoints as blotter_desk      own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
ledger_checkpoints as blotter_sequencer own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              row      row      row      row      row
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
ledger_checkpoints as blotter_owner     own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              23514    23514    23514    23514    23514
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            0A000    0A000    0A000    0A000    0A000
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
ledger_checkpoints as blotter_writer    own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501

ledger_cosignatures as blotter_trader   own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
ledger_cosignatures as blotter_execution own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
ledger_cosignatures as blotter_compliance own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
ledger_cosignatures as blotter_desk     own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
ledger_cosignatures as blotter_sequencer own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              row      row      row      row      row
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
ledger_cosignatures as blotter_owner    own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
ledger_cosignatures as blotter_writer   own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501

ledger_head as blotter_trader           own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
ledger_head as blotter_execution        own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
ledger_head as blotter_compliance       own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
ledger_head as blotter_desk             own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           42501    42501    42501    42501    42501
ledger_head as blotter_sequencer        own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              23505    23505    23505    23505    23505
    UPDATE                              row      row      row      row      row
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
ledger_head as blotter_owner            own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            23514    23514    23514    23514    23514
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
ledger_head as blotter_writer           own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501

audit_accesses as blotter_trader        own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
audit_accesses as blotter_execution     own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
audit_accesses as blotter_compliance    own      other    none     empty    damaged
    SELECT                              row      row      row      row      row
    INSERT                              row      row      row      row      row
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             row      row      row      row      row
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
audit_accesses as blotter_desk          own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
audit_accesses as blotter_sequencer     own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
audit_accesses as blotter_owner         own      other    none     empty    damaged
    SELECT                              nothing  nothing  nothing  nothing  nothing
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              nothing  nothing  nothing  nothing  nothing
    DELETE                              nothing  nothing  nothing  nothing  nothing
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             nothing  nothing  nothing  nothing  nothing
    COPY FROM                           0A000    0A000    0A000    0A000    0A000
audit_accesses as blotter_writer        own      other    none     empty    damaged
    SELECT                              42501    42501    42501    42501    42501
    INSERT                              42501    42501    42501    42501    42501
    UPDATE                              42501    42501    42501    42501    42501
    DELETE                              42501    42501    42501    42501    42501
    TRUNCATE                            42501    42501    42501    42501    42501
    COPY TO                             42501    42501    42501    42501    42501
    COPY FROM                           42501    42501    42501    42501    42501
"""


def _cells() -> dict[tuple[str, str, str], dict[str, str]]:
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    table = login = ""
    for line in filter(None, MATRIX.split("\n")):
        if line.startswith(" "):
            cells[table, login, line[:40].strip()] = dict(zip(IDENTITIES, line[40:].split(), strict=True))
        else:
            table, login = line.split(" as ")
            login = login.split()[0]
    return cells


EXPECTED = _cells()
"""By table, login and command: the outcome under each identity."""
