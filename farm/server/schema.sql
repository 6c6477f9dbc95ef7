-- The journal, version 3. Times are seconds since the epoch by the server's clock.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE batches (
    id        INTEGER PRIMARY KEY,
    token     TEXT NOT NULL UNIQUE,         -- what makes a submission idempotent
    name      TEXT NOT NULL,
    total     INTEGER NOT NULL,             -- of an open one, what its blocks say if that is more
    options   BLOB NOT NULL,                -- msgpack, farm.batch.spec.Options
    spec      BLOB NOT NULL,                -- msgpack, farm.batch.spec.Spec without its files
    digest    TEXT NOT NULL,                -- of its files, '' if it has none
    open      INTEGER NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0,
    submitted REAL NOT NULL,
    started   REAL NOT NULL DEFAULT 0,
    ended     REAL NOT NULL DEFAULT 0,
    paused    INTEGER NOT NULL DEFAULT 0,
    reason    TEXT NOT NULL DEFAULT '',     -- of its end or pause, for people
    dropped   BLOB,                         -- msgpack, ranges; NULL: all without an outcome
    forgotten INTEGER NOT NULL DEFAULT 0    -- its rows are being removed
);
CREATE INDEX batches_by_name ON batches (name);

CREATE TABLE code (
    digest TEXT PRIMARY KEY,
    files  BLOB NOT NULL                    -- msgpack, name -> bytes
);

-- Arguments that travel by value: one pickled list for indices [start, stop).
CREATE TABLE blocks (
    batch   INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL,
    payload BLOB NOT NULL,                  -- '' for one in the batch's file of payloads
    place   INTEGER,                        -- where it begins in that file, if it is there
    size    INTEGER                         -- and its bytes
);
CREATE UNIQUE INDEX blocks_by_index ON blocks (batch, start);
CREATE INDEX blocks_by_place ON blocks (batch, place) WHERE place IS NOT NULL;

-- What was recorded for [start, stop). Each index of a batch is in one row at most.
CREATE TABLE outcomes (
    seq     INTEGER PRIMARY KEY,            -- the order of recording, over all batches
    batch   INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL,
    node    TEXT NOT NULL,
    elapsed REAL NOT NULL,                  -- seconds the tasks took, all together
    first   INTEGER NOT NULL,               -- index of the payload's first result
    payload BLOB NOT NULL,                  -- pickled list of results; '' for a failure, as above
    seconds BLOB NOT NULL,                  -- float32 a task, beside the payload
    failure BLOB,                           -- msgpack, farm.wire.messages.Failure
    place   INTEGER,                        -- as those of blocks
    size    INTEGER
);
CREATE INDEX outcomes_by_index ON outcomes (batch, start, stop);
CREATE INDEX outcomes_by_time ON outcomes (batch, seq);
CREATE INDEX failures_by_index ON outcomes (batch, start) WHERE failure IS NOT NULL;
CREATE INDEX outcomes_by_place ON outcomes (batch, place) WHERE place IS NOT NULL;

-- What each node has done of a batch: the sum over its outcomes up to the place that `meta` has as
-- 'summed', so that a start need not read all of them.
CREATE TABLE shares (
    batch   INTEGER NOT NULL,
    node    TEXT NOT NULL,
    done    INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (batch, node)
) WITHOUT ROWID;

-- Failed attempts of tasks that were tried again.
CREATE TABLE attempts (
    batch   INTEGER NOT NULL,
    task    INTEGER NOT NULL,
    node    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    seconds REAL NOT NULL,
    at      REAL NOT NULL,
    failure BLOB NOT NULL,
    delay   REAL NOT NULL DEFAULT 0,        -- seconds from `at` until the next one
    counts  INTEGER NOT NULL DEFAULT 1,     -- 0: somebody had the task tried anew since
    mark    TEXT NOT NULL DEFAULT ''        -- tells it from all other failures
);
CREATE INDEX attempts_by_batch ON attempts (batch, task);

-- Results that a plain client took away.
CREATE TABLE popped (
    batch INTEGER NOT NULL,
    task  INTEGER NOT NULL,
    PRIMARY KEY (batch, task)
) WITHOUT ROWID;

-- Tasks that must not run twice, and the node that may have begun them.
CREATE TABLE begun (
    batch INTEGER NOT NULL,
    task  INTEGER NOT NULL,
    token TEXT NOT NULL,                    -- the node's, which it keeps as long as it lives
    node  TEXT NOT NULL,
    PRIMARY KEY (batch, task)
) WITHOUT ROWID;
