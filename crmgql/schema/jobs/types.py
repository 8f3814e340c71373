"""Jobs and schedules."""

from crmgql import models
from crmgql.engine.declare import column, many, node, one


@node(models.Job, order="-id")
class Job:
    """A background job: its kind, progress and result."""

    kind = column()
    queue = column()
    arguments = column()
    status = column(enum=models.JobStatus)
    priority = column(doc="Higher ones are done first.")
    due_at = column(sort=True)
    attempts = column(doc="How often a worker took it up.")
    failures = column(doc="How many of these ended badly.")
    max_failures = column(doc="After this number of failures it is DEAD, to be read, retried or dropped.")
    started_at = column()
    finished_at = column(sort=True)
    progress_done = column()
    progress_total = column()
    progress_message = column()
    result = column()
    error_code = column()
    error_message = column()
    cancel_requested_at = column()
    scheduled_for = column(doc="The time of its schedule that it runs for.")
    parent = one()
    schedule = one()
    actor = one("Who enqueued it; null: the system.")
    children = many("Job", "parent")


@node(models.Schedule, order="name")
class Schedule:
    """When a kind of job runs: by cron in a time zone, at an interval in seconds, or once. Two of its runs never run at once."""

    name = column(sort=True)
    kind = column()
    arguments = column()
    cron = column()
    timezone = column()
    every_s = column()
    once_at = column()
    catch_up = column(enum=models.CatchUp)
    enabled = column()
    next_at = column()
    last_at = column()
    skipped = column(doc="Runs that were skipped, because one was running or by the catch-up policy.")
    deleted_at = column()
    jobs = many("Job", "schedule")
