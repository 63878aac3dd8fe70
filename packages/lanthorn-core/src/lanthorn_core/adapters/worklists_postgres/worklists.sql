-- name: entries
SELECT worklist_id, revision, created_at FROM worklist ORDER BY worklist_id COLLATE "C"

-- name: read
SELECT file FROM worklist WHERE worklist_id = $1

-- name: write
INSERT INTO worklist (worklist_id, file)
VALUES ($1, $2)
ON CONFLICT (worklist_id) DO UPDATE
SET file = excluded.file, revision = nextval('worklist_revision')

-- name: delete
DELETE FROM worklist WHERE worklist_id = $1 RETURNING 1
