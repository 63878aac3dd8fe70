-- name: expect
INSERT INTO commitment_report (transaction_uid, remote_ae_title, requested)
VALUES ($1, $2, $3)
ON CONFLICT (transaction_uid) DO UPDATE
SET remote_ae_title = excluded.remote_ae_title, requested = excluded.requested,
    expected_at = excluded.expected_at, reported_at = NULL, committed = '[]', failures = '[]'

-- name: requested
SELECT requested FROM commitment_report WHERE transaction_uid = $1

-- name: prune
DELETE FROM commitment_report
WHERE transaction_uid IN (
    SELECT transaction_uid FROM commitment_report
    ORDER BY expected_at DESC, transaction_uid OFFSET $1
)

-- name: record
-- A peer that reports twice is believed the second time.
UPDATE commitment_report
SET reported_at = now(), committed = $3, failures = $4
WHERE transaction_uid = $1 AND remote_ae_title = $2
RETURNING 1

-- name: get
SELECT transaction_uid, remote_ae_title, reported_at, committed, failures
FROM commitment_report
WHERE transaction_uid = $1
