"""Jobs that people enqueue and change, and schedules."""

from crmgql.events.declarations import Kind, Nothing

KINDS = (
    Kind("job.enqueued", "Job", "Somebody enqueued a job.", Nothing),
    Kind("job.cancelRequested", "Job", "A running job was asked to stop.", Nothing),
    Kind("job.cancelled", "Job", "A waiting job was cancelled.", Nothing),
    Kind("job.retried", "Job", "A dead or cancelled job is tried again.", Nothing),
    Kind("job.dropped", "Job", "A dead job was dropped.", Nothing),
    Kind("schedule.created", "Schedule", "A schedule for jobs was made."),
    Kind("schedule.updated", "Schedule", "A schedule changed."),
    Kind("schedule.deleted", "Schedule", "A schedule was deleted."),
)
