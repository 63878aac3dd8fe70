-- name: remote_aes
SELECT name, entry, configured FROM remote_ae

-- name: put_remote_ae
INSERT INTO remote_ae (name, entry, configured) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE
SET entry = EXCLUDED.entry, configured = EXCLUDED.configured, changed_at = now()

-- name: forget_remote_ae
DELETE FROM remote_ae WHERE name = $1

-- name: add_query
INSERT INTO remote_query (query_id, modality, remote_ae, level, keys) VALUES ($1, $2, $3, $4, $5)

-- name: add_answers
INSERT INTO remote_query_answer (query_id, position, transfer_syntax_uid, data_set)
SELECT $1, $2 + number - 1, transfer_syntax_uid, data_set
FROM unnest($3::text[], $4::bytea[]) WITH ORDINALITY
    AS answer (transfer_syntax_uid, data_set, number)

-- name: complete_query
UPDATE remote_query SET answer_count = $2 WHERE query_id = $1

-- name: forget_oldest_queries
-- Those whose process died before all answers were there go with them.
DELETE FROM remote_query
WHERE query_id IN (
        SELECT query_id FROM remote_query WHERE answer_count IS NOT NULL
        ORDER BY sequence DESC OFFSET $1
    )
    OR (answer_count IS NULL AND created_at < now() - interval '1 day')

-- name: query_ids
SELECT query_id::text FROM remote_query WHERE answer_count IS NOT NULL ORDER BY sequence

-- name: query
SELECT query_id::text, modality, remote_ae, level, keys, answer_count
FROM remote_query
WHERE query_id = $1 AND answer_count IS NOT NULL

-- name: answers
SELECT data_set, transfer_syntax_uid FROM remote_query_answer
WHERE query_id = $1 AND position >= $2
ORDER BY position
LIMIT $3

-- name: delete_query
DELETE FROM remote_query WHERE query_id = $1

-- name: count_exports
UPDATE export_counter SET last_sequence = last_sequence + $1 RETURNING last_sequence

-- name: record_exports
INSERT INTO export (
    sequence, modality, level, public_id, patient_id,
    study_instance_uid, series_instance_uid, sop_instance_uid
)
SELECT $1 + number, modality, level, public_id, patient_id, study, series, instance
FROM unnest(
        $2::text[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]
    ) WITH ORDINALITY
    AS exported (modality, level, public_id, patient_id, study, series, instance, number)

-- name: exports
SELECT * FROM export WHERE sequence > $1 ORDER BY sequence LIMIT $2

-- name: last_export
SELECT * FROM export ORDER BY sequence DESC LIMIT 1

-- name: clear_exports
DELETE FROM export
