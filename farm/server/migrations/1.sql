-- From version 1 to version 2 of the journal.

ALTER TABLE batches ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE batches ADD COLUMN dropped BLOB;
ALTER TABLE batches ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;

DROP INDEX outcomes_by_index;
CREATE INDEX outcomes_by_index ON outcomes (batch, start, stop);

ALTER TABLE attempts ADD COLUMN delay REAL NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN counts INTEGER NOT NULL DEFAULT 1;
ALTER TABLE attempts ADD COLUMN mark TEXT NOT NULL DEFAULT '';

CREATE TABLE begun (
    batch INTEGER NOT NULL,
    task  INTEGER NOT NULL,
    token TEXT NOT NULL,
    node  TEXT NOT NULL,
    PRIMARY KEY (batch, task)
) WITHOUT ROWID;

CREATE TABLE shares (
    batch   INTEGER NOT NULL,
    node    TEXT NOT NULL,
    done    INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (batch, node)
) WITHOUT ROWID;
INSERT INTO shares SELECT batch, node, sum(stop - start), sum(elapsed)
    FROM outcomes WHERE failure IS NULL GROUP BY batch, node;
