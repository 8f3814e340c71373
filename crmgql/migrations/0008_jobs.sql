-- A ring stands for "there is work in this queue": what is claimed is chosen here, by priority, and no job is marked as rung.
-- One write and one index less in each job's life.

DROP INDEX jobs_to_ring, jobs_next, jobs_rung;

ALTER TABLE jobs DROP COLUMN rung_at;

-- Whether anything is due, and what is next: sorting a backlog of 200,000 took 0.3 s each time.
CREATE INDEX jobs_due ON jobs (queue, due_at, id) WHERE status = 'PENDING';
CREATE INDEX jobs_next ON jobs (queue, priority DESC, due_at, id) WHERE status = 'PENDING';
