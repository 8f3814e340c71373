"""Jobs that people asked for, and schedules."""

from crmgql.events.declarations import Kind, Nothing

KINDS = (
    Kind("job.enqueued", "Job", "Somebody asked for a job.", Nothing),
    Kind("job.cancelRequested", "Job", "A job that runs is to end.", Nothing),
    Kind("job.cancelled", "Job", "A job was called off.", Nothing),
    Kind("job.retried", "Job", "A dead or cancelled job is tried again.", Nothing),
    Kind("job.dropped", "Job", "A dead job was given up.", Nothing),
    Kind("schedule.created", "Schedule", "A schedule for jobs was made."),
    Kind("schedule.updated", "Schedule", "A schedule changed."),
    Kind("schedule.deleted", "Schedule", "A schedule was taken away."),
)
