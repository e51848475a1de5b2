"""The tables, as numbered migrations; the newest number is `PRAGMA user_version`.

sqlite-utils applies them and keeps the list of those applied (`_sqlite_migrations`), so its own
command line reads the store as well. It is imported only when there is something to apply: it costs
135 ms, which a plain `kiosk match` would pay each time.

What is personal lies in sealed columns (see `vault.py`); each is bound to its table and row:

    subject.details     JSON, padded: name, document, vendor_data, reason of a block
    reference.template  float32 little-endian, bound to person and model as well
    image.jpeg          a photograph, where a setting keeps them
    log_private.sealed  JSON: vendor_data, its salt, the answer that was given
    outbox.payload      what is to be sent, with whose rows it keeps its order
    outbox_image.sealed, secret.sealed, list_staged.sealed   photographs to be sent, API keys, templates pulled
    reference_block.sealed, subject_block.sealed   the gallery's codes and flags, see references/blocks.py
    fleet_document.sealed   what a kiosk of the fleet says of a person; fleet_envelope as it was sent
    unproven.sealed     what of someone forgotten is still searched for
    access.sealed       JSON: name and verifier of a key or an operator
    factor.sealed       JSON, padded: card, and the verifiers of PINs; factor_note: what was entered with a decision
    session.sealed      JSON: what an open session was asked for, and what its steps found
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kiosk.errors import StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    import sqlite_utils

_IDS = struct.Struct(">qq")

_FIRST = """
CREATE TABLE kiosk (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE model (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    dimensions INTEGER NOT NULL
) STRICT;

-- AUTOINCREMENT: a number is never given out twice, not even after its person was forgotten
CREATE TABLE subject (
    session_number INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL UNIQUE,
    verification_date REAL NOT NULL,
    status TEXT NOT NULL,
    is_blocklisted INTEGER NOT NULL CHECK (is_blocklisted IN (0, 1)),
    is_allowlisted INTEGER NOT NULL CHECK (is_allowlisted IN (0, 1)),
    source TEXT NOT NULL,
    external_id TEXT,
    valid_from REAL,
    valid_until REAL,
    retention_until REAL NOT NULL,
    vendor_lookup BLOB,
    document_lookup BLOB,
    details BLOB NOT NULL,
    row_check BLOB NOT NULL
) STRICT;
CREATE INDEX subject_vendor ON subject (vendor_lookup) WHERE vendor_lookup IS NOT NULL;
CREATE INDEX subject_document ON subject (document_lookup) WHERE document_lookup IS NOT NULL;
CREATE INDEX subject_external ON subject (external_id) WHERE external_id IS NOT NULL;
CREATE INDEX subject_retention ON subject (retention_until);

CREATE TABLE reference (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject INTEGER NOT NULL REFERENCES subject,
    model INTEGER NOT NULL REFERENCES model,
    template BLOB NOT NULL,
    quality REAL,
    created_at REAL NOT NULL
) STRICT;
CREATE INDEX reference_subject ON reference (subject);

CREATE TABLE image (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject INTEGER NOT NULL REFERENCES subject,
    jpeg BLOB NOT NULL,
    created_at REAL NOT NULL
) STRICT;
CREATE INDEX image_subject ON image (subject);

-- what another process must look at again; the person is gone from `subject` when forgotten
CREATE TABLE change (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    subject INTEGER NOT NULL
) STRICT;

CREATE TABLE log (
    seq INTEGER PRIMARY KEY,
    record TEXT NOT NULL,
    hash BLOB NOT NULL,
    signature BLOB NOT NULL,
    request_id TEXT NOT NULL AS (json_extract(record, '$.request_id')) VIRTUAL,
    kind TEXT NOT NULL AS (json_extract(record, '$.kind')) VIRTUAL,
    status TEXT AS (json_extract(record, '$.status')) VIRTUAL,
    at REAL NOT NULL AS (json_extract(record, '$.at')) VIRTUAL,
    session_number INTEGER AS (json_extract(record, '$.session_number')) VIRTUAL
) STRICT;
CREATE INDEX log_request ON log (request_id);
CREATE INDEX log_kind ON log (kind, at);
CREATE INDEX log_at ON log (at);
CREATE TRIGGER log_is_never_changed BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'the decision log is append-only'); END;
CREATE TRIGGER log_is_never_cut BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'the decision log is append-only'); END;
CREATE TRIGGER log_only_grows BEFORE INSERT ON log
    WHEN NEW.seq <= (SELECT coalesce(max(seq), 0) FROM log)
    BEGIN SELECT RAISE(ABORT, 'the decision log is append-only'); END;

CREATE TABLE log_private (
    seq INTEGER PRIMARY KEY REFERENCES log,
    vendor_lookup BLOB,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX log_private_vendor ON log_private (vendor_lookup) WHERE vendor_lookup IS NOT NULL;

CREATE TABLE log_subject (
    subject INTEGER NOT NULL,
    seq INTEGER NOT NULL REFERENCES log,
    PRIMARY KEY (subject, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE erasure (
    session_id TEXT PRIMARY KEY,
    session_number INTEGER NOT NULL,
    seq INTEGER NOT NULL REFERENCES log,
    forgotten_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL REFERENCES log,
    policy TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'sending', 'sent', 'rejected', 'superseded')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at REAL NOT NULL,
    remote_request_id TEXT,
    last_error TEXT,
    payload BLOB,
    CHECK (state != 'sent' OR remote_request_id IS NOT NULL)
) STRICT;
CREATE INDEX outbox_due ON outbox (next_attempt_at, id) WHERE state IN ('waiting', 'sending');
CREATE INDEX outbox_seq ON outbox (seq);
"""

_IMPORTS = """
CREATE TABLE import_run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source BLOB NOT NULL,
    started_at REAL NOT NULL,
    finished_at REAL
) STRICT;

CREATE TABLE import_file (
    run INTEGER NOT NULL REFERENCES import_run ON DELETE CASCADE,
    file BLOB NOT NULL,
    modified_ns INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    subject INTEGER,
    PRIMARY KEY (run, file)
) STRICT, WITHOUT ROWID;
"""

# `sealed` holds name and verifier and is bound to every other column, so that no role or date can be edited.
# `of_id` is what a REVIEW or REVISION is about. In Review is what operators are asked for, again and again.
_ACCESS = """
CREATE TABLE access (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('key', 'operator')),
    role TEXT NOT NULL CHECK (role IN ('device', 'operator', 'admin')),
    lookup BLOB UNIQUE,
    created_at REAL NOT NULL,
    expires_at REAL,
    revoked_at REAL,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE log ADD COLUMN of_id TEXT AS (json_extract(record, '$.details.of')) VIRTUAL;
CREATE INDEX log_of ON log (of_id) WHERE of_id IS NOT NULL;
CREATE INDEX log_review ON log (seq) WHERE status = 'In Review';
"""

# outbox.person: keyed hash, or rows of one person could pass each other. doubt_from: see outbox.py.
# cloud_write counts what the cloud bills over all processes; list_staged holds a list that is not complete yet.
_CLOUD = """
ALTER TABLE outbox ADD COLUMN person BLOB;
ALTER TABLE outbox ADD COLUMN created_at REAL;
ALTER TABLE outbox ADD COLUMN doubt_from REAL;
ALTER TABLE outbox ADD COLUMN looks INTEGER NOT NULL DEFAULT 0;
CREATE INDEX outbox_waiting ON outbox (id) WHERE state = 'waiting';
CREATE INDEX outbox_person ON outbox (person, id) WHERE state IN ('waiting', 'sending');
CREATE INDEX outbox_remote ON outbox (remote_request_id) WHERE remote_request_id IS NOT NULL;

CREATE TABLE outbox_image (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    outbox INTEGER NOT NULL REFERENCES outbox,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX outbox_image_of ON outbox_image (outbox);
CREATE TABLE outbox_room (bytes INTEGER NOT NULL) STRICT;
INSERT INTO outbox_room (bytes) VALUES (0);
CREATE TRIGGER outbox_image_comes AFTER INSERT ON outbox_image
    BEGIN UPDATE outbox_room SET bytes = bytes + length(NEW.sealed); END;
CREATE TRIGGER outbox_image_goes AFTER DELETE ON outbox_image
    BEGIN UPDATE outbox_room SET bytes = bytes - length(OLD.sealed); END;

CREATE TABLE cloud_write (id INTEGER PRIMARY KEY, at REAL NOT NULL) STRICT;
CREATE INDEX cloud_write_at ON cloud_write (at);
CREATE TABLE cloud_note (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE secret (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE list_pass (
    list TEXT PRIMARY KEY,
    entries INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    last_entry TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE list_staged (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    list TEXT NOT NULL,
    entry TEXT NOT NULL,
    sealed BLOB,
    UNIQUE (list, entry)
) STRICT;
CREATE TABLE list_entry (
    list TEXT NOT NULL,
    entry TEXT NOT NULL,
    subject INTEGER NOT NULL,
    PRIMARY KEY (list, entry)
) STRICT, WITHOUT ROWID;
CREATE TABLE list_complete (
    list TEXT PRIMARY KEY,
    at REAL NOT NULL,
    entries INTEGER NOT NULL,
    unusable INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

# Records of the log go once a PRUNE record vouches for them, see upkeep/retention.py. `erasure` outlives the record it
# names, and keeps the receipt; `unproven` holds what the files are still to be searched for, see erasure.py.
_RETENTION = """
DROP TRIGGER log_is_never_cut;
CREATE INDEX log_pruned ON log (seq) WHERE kind = 'PRUNE';
CREATE TRIGGER log_is_never_cut BEFORE DELETE ON log
    WHEN OLD.seq > coalesce((SELECT json_extract(record, '$.details.through') FROM log
        WHERE kind = 'PRUNE' ORDER BY seq DESC LIMIT 1), 0)
    BEGIN SELECT RAISE(ABORT, 'the decision log is append-only'); END;
CREATE INDEX log_person ON log (session_number) WHERE session_number IS NOT NULL;
CREATE INDEX log_subject_seq ON log_subject (seq);
CREATE INDEX import_file_subject ON import_file (subject) WHERE subject IS NOT NULL;
CREATE INDEX list_entry_subject ON list_entry (subject);
CREATE INDEX outbox_settled ON outbox (id) WHERE state IN ('sent', 'superseded');

CREATE TABLE erasure_kept (
    session_id TEXT PRIMARY KEY,
    session_number INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    forgotten_at REAL NOT NULL,
    receipt TEXT
) STRICT, WITHOUT ROWID;
INSERT INTO erasure_kept SELECT session_id, session_number, seq, forgotten_at, NULL FROM erasure;
DROP TABLE erasure;
ALTER TABLE erasure_kept RENAME TO erasure;

CREATE TABLE unproven (
    id INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;
"""

# Sessions of several steps, see open_sessions/rows.py. A token is 256 random bits, so its hash needs no key.
_SESSIONS = """
CREATE TABLE session (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL UNIQUE,
    token_hash BLOB NOT NULL UNIQUE,
    opened_seq INTEGER NOT NULL,
    expires_at REAL NOT NULL,
    version INTEGER NOT NULL,
    is_over INTEGER NOT NULL CHECK (is_over IN (0, 1)),
    vendor_lookup BLOB,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX session_expires ON session (expires_at);
CREATE INDEX session_vendor ON session (vendor_lookup) WHERE vendor_lookup IS NOT NULL;
"""

# What the kiosks of one owner share, see store/fleet/; empty on a kiosk without a fleet. change.origin: NULL for an act
# here, else what brought it. A position: the last message read from a hub, and the last of our versions sent to it.
_FLEET = """
ALTER TABLE change ADD COLUMN origin TEXT;

CREATE TABLE fleet_document (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person TEXT NOT NULL,
    origin TEXT NOT NULL,
    version INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (person, origin)
) STRICT;
CREATE INDEX fleet_document_version ON fleet_document (origin, version);
CREATE TABLE fleet_envelope (
    person TEXT NOT NULL,
    origin TEXT NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (person, origin)
) STRICT, WITHOUT ROWID;
CREATE TABLE fleet_parked (
    person TEXT NOT NULL,
    origin TEXT NOT NULL,
    envelope BLOB NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (person, origin)
) STRICT, WITHOUT ROWID;
CREATE TABLE fleet_position (
    source TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    sent INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE fleet_roster (number INTEGER PRIMARY KEY, text BLOB NOT NULL) STRICT;
CREATE TABLE fleet_health (kiosk TEXT PRIMARY KEY, at REAL NOT NULL, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""

# Crops that a reviewer is shown, see review/images.py: gone once they decided, or after [review] probe_days.
_REVIEW = """
CREATE TABLE review_image (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL REFERENCES log,
    name TEXT NOT NULL,
    kept_at REAL NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX review_image_of ON review_image (seq);
"""

# What the next start loads, see references/blocks.py. A row that comes, goes or changes takes its block along. The sums
# that a start compares are those of one model, so the index that holds the numbers holds the model too.
_BLOCKS = """
CREATE TABLE reference_block (
    id INTEGER PRIMARY KEY,
    model INTEGER NOT NULL REFERENCES model,
    number INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (number, model)
) STRICT;
CREATE TABLE subject_block (
    number INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;
DROP INDEX reference_subject;
CREATE INDEX reference_subject ON reference (subject, model);

CREATE TRIGGER reference_comes AFTER INSERT ON reference
    BEGIN DELETE FROM reference_block WHERE number = NEW.id >> 10; END;
CREATE TRIGGER reference_changes AFTER UPDATE ON reference
    BEGIN DELETE FROM reference_block WHERE number IN (OLD.id >> 10, NEW.id >> 10); END;
CREATE TRIGGER reference_goes AFTER DELETE ON reference
    BEGIN DELETE FROM reference_block WHERE number = OLD.id >> 10; END;
CREATE TRIGGER subject_comes AFTER INSERT ON subject
    BEGIN DELETE FROM subject_block WHERE number = NEW.session_number >> 10; END;
CREATE TRIGGER subject_changes AFTER UPDATE ON subject
    BEGIN DELETE FROM subject_block WHERE number IN (OLD.session_number >> 10, NEW.session_number >> 10); END;
CREATE TRIGGER subject_goes AFTER DELETE ON subject
    BEGIN DELETE FROM subject_block WHERE number = OLD.session_number >> 10; END;
"""

# More of the fleet: what is not held here is kept without face and name (is_whole 0) until it is wanted; pairs that may
# be one person; orders of the owner (policy, settings), as signed; the newest head of each kiosk's log, as signed.
_FLEET_ORDERS = """
ALTER TABLE fleet_document ADD COLUMN is_whole INTEGER NOT NULL DEFAULT 1;
CREATE TABLE fleet_wanted (person TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE fleet_duplicate (
    first TEXT NOT NULL,
    second TEXT NOT NULL,
    score REAL NOT NULL,
    found_at REAL NOT NULL,
    PRIMARY KEY (first, second)
) STRICT, WITHOUT ROWID;
CREATE TABLE fleet_order (
    kind TEXT NOT NULL,
    revision INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (kind, revision)
) STRICT, WITHOUT ROWID;
CREATE TABLE fleet_head (kiosk TEXT PRIMARY KEY, seq INTEGER NOT NULL, said BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""

# Cards and PINs, and what was entered with a decision, see factors/; who went through the door, see passages/.
_FACTORS = """
CREATE TABLE factor (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject INTEGER NOT NULL UNIQUE REFERENCES subject,
    card_lookup BLOB UNIQUE,
    sealed BLOB NOT NULL
) STRICT;
CREATE TABLE factor_note (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL REFERENCES log,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX factor_note_of ON factor_note (seq);
CREATE TABLE passage (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject INTEGER NOT NULL REFERENCES subject,
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    at REAL NOT NULL,
    request_id TEXT NOT NULL,
    corrected_by TEXT NOT NULL,
    row_check BLOB NOT NULL
) STRICT;
CREATE INDEX passage_of ON passage (subject, id);
CREATE INDEX passage_at ON passage (at);
"""

# What is counted over time (by status, hour of the week, whole score) is read from one index alone: a record would
# be fetched and parsed for each of its fields. It begins as log_at did, which goes.
_COUNTED = """
ALTER TABLE log ADD COLUMN points INTEGER AS (CAST(json_extract(record, '$.score') AS INTEGER)) VIRTUAL;
CREATE INDEX log_counted ON log (at, kind, status, points);
DROP INDEX log_at;
"""

# Number n is SCRIPTS[n - 1]; a released one never changes.
SCRIPTS = (
    _FIRST,
    _IMPORTS,
    _ACCESS,
    _CLOUD,
    _RETENTION,
    _SESSIONS,
    _FLEET,
    _REVIEW,
    _BLOCKS,
    _FLEET_ORDERS,
    _FACTORS,
    _COUNTED,
)
VERSION = len(SCRIPTS)


def version_of(connection: sqlite3.Connection) -> int:
    """Return the number of the last migration a database has had; 0 for an empty file."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def check_version(version: int) -> None:
    """Refuse a store that a newer program wrote.

    Raises:
        StoreError: its schema is newer than this program's.
    """
    if version > VERSION:
        raise StoreError(
            f"the store has schema {version}, this program knows {VERSION}; "
            "install the newer program, or restore a backup made by this one"
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to `VERSION`. The caller holds the transaction and made a backup first."""
    import sqlite_utils  # 135 ms, see the module's head  # noqa: PLC0415

    migrations = sqlite_utils.Migrations("kiosk")
    for number, script in enumerate(SCRIPTS, 1):
        migrations(name=f"{number:04}")(_step(number, script))
    migrations.apply(sqlite_utils.Database(connection))


def _step(number: int, script: str) -> Callable[[sqlite_utils.Database], None]:
    def apply(database: sqlite_utils.Database) -> None:
        for statement in _statements(script):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {number}")

    return apply


def _statements(script: str) -> list[str]:
    """Split a script; `executescript` would commit the transaction that holds it together."""
    import sqlite3  # only here at run time  # noqa: PLC0415

    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def row_context(table: str, row: int) -> bytes:
    """Return what a sealed column is bound to: its table and row."""
    return f"{table}|{row}".encode()


def template_context(model: str) -> Callable[[int, int], bytes]:
    """Return what maps (reference id, session_number) to the context of that template."""
    prefix = f"reference|{model}|".encode()
    pack = _IDS.pack
    return lambda reference, subject: prefix + pack(reference, subject)
