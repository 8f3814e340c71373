"""The worker process. A job is a row in PostgreSQL; arq is the executor, and one entry in its queue, a ring, means "there are
jobs in this queue".

    commit ─▶ bell ─▶ relay ─▶ ring in arq ─▶ drain: claims a batch, runs it, claims the next ─▶ ends, some of them together

`bells`: a process that commits a job rings, and one worker receives it. `relay`: rings arq. `rings`: the adapter to arq.
`drains`: does a queue's jobs, a limited number at once. `claims`, `attempts`, `ends`: a batch under leases, one attempt, ends
that share a commit. `upkeep`: one look a second, for jobs without a bell. `handlers` and the chapters: what jobs do.

Limits of arq, and what `rings` does about them:

- It polls Valkey every poll_delay, once per queue: 80 commands a second and 6 % of a core while nothing happens, and jobs
  wait half a poll_delay on average. `rings` replaces its main loop by one that waits until this process has rung; it calls
  one method of arq's loop, the private _poll_iteration.
- It starts one job after the other, with six round trips to Valkey each. So a ring stands for a queue, not for a job.
- It has no priorities. So the claim, in PostgreSQL, chooses the next jobs.
- It keeps an entry at the head of its queue until that job has ended, and a killed worker's entry until its largest time-out;
  it reads only the head. So each ring has an id of its own, and ringing removes those that are older than a minute: the look
  finds jobs whose ring is lost.
- An exception is final, a cancelled job is started again, and all jobs share one time-out. So what arq calls never raises,
  never times out, and returns normally when it is stopped; back-off, dead letters, time-outs and cancelling are in `attempts`.
- It stores results in Valkey. keep_result is 0: results are in the job's row.
- The Redis client's time-out per command costs as much as the command, and before Python 3.12 it loses cancellations. So
  there is none: the kernel probes the connection, and callers that wait for an answer limit the wait.
"""
