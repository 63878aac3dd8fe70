-- Jobs: what runs, what waits, and the history of what ended.

CREATE TABLE job (
    job_pk          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id          text NOT NULL UNIQUE,
    type            text NOT NULL,
    state           text NOT NULL CHECK (
        state IN ('Pending', 'Running', 'Success', 'Failure', 'Paused', 'Retry')
    ),
    priority        integer NOT NULL,
    parameters      jsonb NOT NULL,
    first_content   jsonb NOT NULL, -- as submitted: where a resubmitted job begins again
    content         jsonb NOT NULL, -- as clients see it
    user_data       text, -- JSON; jsonb would write its numbers anew
    can_be_resubmitted boolean NOT NULL,
    -- The last checkpoint.
    checkpoint      jsonb NOT NULL DEFAULT '{}',
    progress        double precision NOT NULL DEFAULT 0,
    retries         integer NOT NULL DEFAULT 0,
    -- Who runs it. A claim counts while its number is the row's; it may be taken over from due_at.
    claim_number    bigint NOT NULL DEFAULT 0,
    worker_id       text,
    abandoned       integer NOT NULL DEFAULT 0, -- leases that ended without progress
    due_at          timestamptz DEFAULT now(), -- when it may be claimed; null is never
    -- Its time running: runtime_s up to counted_at.
    runtime_s       double precision NOT NULL DEFAULT 0,
    counted_at      timestamptz NOT NULL DEFAULT now(),
    -- Its end.
    error_slug      text,
    error_details   text NOT NULL DEFAULT '',
    error_payload   jsonb,
    created_at      timestamptz NOT NULL DEFAULT now(),
    completed_at    timestamptz,
    retired_at      timestamptz -- when it left the history; the row stays for who still waits
) WITH (fillfactor = 70);

CREATE INDEX job_turn ON job (priority DESC, job_pk) WHERE due_at IS NOT NULL;
CREATE INDEX job_due ON job (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX job_history ON job (completed_at DESC, job_pk DESC)
    WHERE completed_at IS NOT NULL AND retired_at IS NULL;
CREATE INDEX job_retired ON job (retired_at) WHERE retired_at IS NOT NULL;
