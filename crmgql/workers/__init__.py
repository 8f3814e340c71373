"""The worker process. The truth about a job is its row; arq is the executor, and a ring of it stands for "there is work
in this queue".

    commit ─▶ bell ─▶ relay ─▶ ring in arq ─▶ drain: claims a batch, runs it, claims the next ─▶ ends, some of them together

`bells`: who commits a job rings, and one relay hears it. `relay`: rings arq. `rings`: arq's side of it. `drains`: a queue
worked off, so many jobs at once. `claims`, `attempts`, `ends`: a batch under leases, one attempt, ends that share a commit.
`upkeep`: one look a second, for what no bell told of. `handlers` and the chapters: what jobs do.

What of arq needs going around, all of it in `rings`:

- It asks Valkey at every poll_delay, once per queue: 80 commands and 6 % of a core a second while nothing happens, and half a
  poll_delay until a job is taken up. Its main loop is replaced by one that waits until this process has rung, or was told to
  look; the one round of it that we call is its private _poll_iteration.
- It starts one job after the other, with six answers of Valkey each. So a ring stands for a queue, not for a job.
- It knows no priorities. So what is next is chosen by the claim, in PostgreSQL.
- It keeps an entry at the head of its queue until that job has ended, and a killed worker's for its largest time-out; it reads
  only the head. So each ring has an id of its own, and ringing takes out those that are older than a minute: whatever
  became of them, the look finds what is still to be done.
- An exception is final, a cancelled job is started again, and a time-out is one for all. So what it calls never raises,
  never times out, and ends well also when it is stopped; back-off, dead letters, time-outs and cancelling are ours.
- It hands results about. keep_result is 0: they are in the row.
- A time-out on each command, as the Redis client has it, costs as much as the command, and until Python 3.12 loses
  cancellations. So there is none: the kernel probes the connection, and whoever waits for an answer limits the wait.
"""
