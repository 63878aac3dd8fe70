-- What the jobs engine asks and writes. `{runtime}` is filled by store.py with the expression for
-- the time that a job has run until now.

-- name: runtime
job.runtime_s + CASE WHEN job.state = 'Running'
    THEN greatest(extract(epoch FROM least(now(), job.due_at) - job.counted_at), 0) ELSE 0 END

-- name: submit
INSERT INTO job (
    job_id, type, state, priority, parameters, first_content, content, user_data,
    can_be_resubmitted
) VALUES ($1, $2, 'Pending', $3, $4, $5, $5, $6, $7)

-- name: select
-- Seen when the rows are read: `now()` is the beginning, before which a row may not have been so.
SELECT job_id, type, state, content, priority, user_data, progress, error_slug, error_details,
    error_payload, {runtime} AS runtime_s, created_at, completed_at,
    clock_timestamp() AS seen_at
FROM job

-- name: of_id
WHERE job_id = $1 AND retired_at IS NULL

-- name: of_id_or_retired
WHERE job_id = $1

-- name: of_all
WHERE retired_at IS NULL ORDER BY job_pk

-- name: ids
SELECT job_id FROM job WHERE retired_at IS NULL ORDER BY job_pk

-- name: counts
SELECT type, state, count(*) AS count FROM job WHERE retired_at IS NULL GROUP BY type, state

-- name: lock
SELECT state, can_be_resubmitted FROM job
WHERE job_id = $1 AND retired_at IS NULL FOR UPDATE

-- name: pause
UPDATE job SET state = 'Paused', due_at = NULL, runtime_s = {runtime}, counted_at = now()
WHERE job_id = $1

-- name: resume
UPDATE job SET state = 'Pending', due_at = now() WHERE job_id = $1

-- name: cancel
UPDATE job SET state = 'Failure', due_at = NULL, runtime_s = {runtime}, counted_at = now(),
    completed_at = now(), error_slug = $2
WHERE job_id = $1

-- name: resubmit
UPDATE job SET state = 'Pending', due_at = now(), runtime_s = 0, counted_at = now(),
    completed_at = NULL, error_slug = NULL, error_details = '', error_payload = NULL,
    content = first_content, checkpoint = '{{}}', progress = 0, retries = 0, abandoned = 0
WHERE job_id = $1

-- name: retire_one
UPDATE job SET retired_at = now() WHERE job_id = $1

-- name: keep_history
-- Retire those that ended, all but the newest $1, and forget those retired $2 seconds ago.
WITH retired AS (
    UPDATE job SET retired_at = now() WHERE job_pk IN (
        SELECT job_pk FROM job WHERE completed_at IS NOT NULL AND retired_at IS NULL
        ORDER BY completed_at DESC, job_pk DESC OFFSET $1
    )
)
DELETE FROM job WHERE retired_at < now() - make_interval(secs => $2)

-- name: fail_abandoned
UPDATE job SET state = 'Failure', due_at = NULL, completed_at = now(), error_slug = $2,
    error_details = 'Every worker that began this job was lost'
WHERE state = 'Running' AND due_at <= now() AND abandoned >= $1
RETURNING job_id

-- name: claim
UPDATE job SET state = 'Running', claim_number = claim_number + 1, worker_id = $2,
    abandoned = abandoned + (state = 'Running')::integer, runtime_s = {runtime},
    due_at = now() + make_interval(secs => $3), counted_at = now()
WHERE job_pk = (
    SELECT job_pk FROM job WHERE due_at <= now() AND type = ANY($1::text[])
        AND NOT (state = 'Running' AND abandoned >= $4)
    ORDER BY priority DESC, job_pk LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING job_id, claim_number, type, parameters, checkpoint, content, progress, retries

-- name: due_in_s
SELECT extract(epoch FROM min(due_at) - now())::float8 FROM job
WHERE due_at IS NOT NULL AND type = ANY($1::text[])

-- name: renew
UPDATE job SET runtime_s = {runtime}, counted_at = now(),
    due_at = CASE WHEN state = 'Running' THEN now() + make_interval(secs => $3) END
FROM unnest($1::text[], $2::bigint[]) AS held (held_id, held_number)
WHERE job_id = held_id AND claim_number = held_number AND state IN ('Running', 'Paused')
RETURNING job_id, claim_number, state

-- name: checkpoint
UPDATE job SET runtime_s = {runtime}, counted_at = now(),
    due_at = CASE WHEN state = 'Running' THEN now() + make_interval(secs => $6) END,
    abandoned = CASE WHEN $3 > progress THEN 0 ELSE abandoned END,
    progress = $3, checkpoint = $4, content = $5
WHERE job_id = $1 AND claim_number = $2 AND state IN ('Running', 'Paused')
RETURNING state

-- name: leave
-- End a claim: the job is over ($6 Success or Failure), or waits ($6 Pending or Retry).
UPDATE job SET runtime_s = {runtime}, counted_at = now(),
    progress = $3, checkpoint = $4, content = $5,
    state = CASE WHEN state = 'Paused' AND $6 IN ('Pending', 'Retry') THEN 'Paused' ELSE $6 END,
    due_at = CASE WHEN state = 'Running' AND $6 IN ('Pending', 'Retry')
        THEN now() + make_interval(secs => $7) END,
    retries = retries + ($6 = 'Retry')::integer,
    completed_at = CASE WHEN $6 IN ('Success', 'Failure') THEN now() END,
    error_slug = $8, error_details = $9, error_payload = $10
WHERE job_id = $1 AND claim_number = $2 AND state IN ('Running', 'Paused')
RETURNING state

-- name: forget_all
DELETE FROM job
