-- Worklist items that are kept here and not in a folder (Worklists.SaveInOrthancDatabase), and the
-- storage commitment that we asked remote AEs for.

CREATE SEQUENCE worklist_revision;

CREATE TABLE worklist (
    worklist_id     text PRIMARY KEY,
    revision        bigint NOT NULL DEFAULT nextval('worklist_revision'),
    file            bytea NOT NULL, -- a DICOM file
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE commitment_report (
    transaction_uid text PRIMARY KEY,
    remote_ae_title text NOT NULL,
    requested       jsonb NOT NULL, -- [[SOP class, SOP instance], ...]
    expected_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    reported_at     timestamptz, -- null: pending
    committed       jsonb NOT NULL DEFAULT '[]', -- [[SOP class, SOP instance], ...]
    failures        jsonb NOT NULL DEFAULT '[]'  -- [[SOP class, SOP instance, reason], ...]
);
CREATE INDEX commitment_report_oldest ON commitment_report (expected_at);
