-- What was set at run time about remote AEs: an entry, or NULL for one that was removed. The change
-- counts while the configuration still says what it said then ("configured", NULL for nothing).
CREATE TABLE remote_ae (
    name            text PRIMARY KEY,
    entry           jsonb,
    configured      jsonb,
    changed_at      timestamptz NOT NULL DEFAULT now()
);

-- Queries of remote AEs with their answers; a query is seen once all answers are there.
CREATE TABLE remote_query (
    query_id        uuid PRIMARY KEY,
    sequence        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    modality        text NOT NULL,
    remote_ae       jsonb NOT NULL,
    level           smallint NOT NULL,
    keys            jsonb NOT NULL,
    answer_count    integer,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE remote_query_answer (
    query_id        uuid NOT NULL REFERENCES remote_query ON DELETE CASCADE,
    position        integer NOT NULL,
    transfer_syntax_uid text NOT NULL,
    data_set        bytea NOT NULL,
    PRIMARY KEY (query_id, position)
);

-- As with changes, numbers are given out under the lock of one row and never come again.
CREATE TABLE export_counter (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_sequence   bigint NOT NULL DEFAULT 0
);
INSERT INTO export_counter DEFAULT VALUES;

CREATE TABLE export (
    sequence        bigint PRIMARY KEY,
    recorded_at     timestamptz NOT NULL DEFAULT now(),
    modality        text NOT NULL,
    level           smallint NOT NULL,
    public_id       text NOT NULL,
    patient_id      text NOT NULL,
    study_instance_uid text,
    series_instance_uid text,
    sop_instance_uid text
);
