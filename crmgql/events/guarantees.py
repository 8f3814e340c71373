"""What followers can rely on, by transport, each with the test that shows it; written into the page on events."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guarantee:
    """`test` is the path of a test under `tests/`."""

    transport: str
    about: str
    what: str
    test: str


FEED, SOCKETS, STREAMS, TOKENS, POLLS, NAMED = (
    "events/test_feed.py",
    "http/test_sockets.py",
    "http/test_event_stream.py",
    "http/test_stream_tokens.py",
    "http/test_events.py",
    "http/test_named_events.py",
)
SUBSCRIPTIONS, PULLS, HOOKS, HOOK_SIGHTS = (
    "schema/events/test_subscriptions.py",
    "schema/streams/test_pulls.py",
    "workers/test_webhooks_in_trouble.py",
    "workers/test_webhook_sights.py",
)
EVERY, SOCKET, STREAM, POLL, PULL, HOOK = (
    "every one",
    "WebSocket",
    "server-sent events",
    "`GET /events`",
    "pull",
    "webhook",
)

GUARANTEES = (
    Guarantee(
        EVERY,
        "order",
        "commit order; a transaction's events are neighbours, the last one says so",
        f"{FEED}::test_a_pass_gives_positions_in_the_order_of_commits",
    ),
    Guarantee(
        EVERY,
        "order",
        "a transaction that stays open holds nobody up and is not skipped",
        f"{FEED}::test_a_long_transaction_holds_up_nobody_and_is_not_skipped",
    ),
    Guarantee(
        EVERY,
        "duplicates",
        "however many relays run, each event has one position",
        f"{FEED}::test_many_relays_and_writers_at_once",
    ),
    Guarantee(
        EVERY,
        "duplicates",
        "a relay that stands still in the middle of its work holds nobody up, and repeats nothing when it wakes up",
        "faults/test_relays.py::test_a_relay_that_stands_still_in_the_middle_of_a_pass",
    ),
    Guarantee(
        EVERY,
        "loss",
        "none, whichever processes are killed: API, workers, Valkey, followers",
        "faults/test_everything_killed.py::test_every_event_once_in_order_and_an_equal_copy",
    ),
    Guarantee(
        EVERY,
        "loss",
        "none from a cursor on; where the past ends and the present begins neither gap nor double",
        f"{FEED}::test_followers_replay_and_then_go_on_live",
    ),
    Guarantee(
        EVERY,
        "loss",
        "a cursor of a history that a failover or a restore undid is refused with its code",
        f"{FEED}::test_followers_find_out_that_history_changed",
    ),
    Guarantee(
        EVERY,
        "loss",
        "a failover that undid nothing before one's cursor takes nothing away and repeats nothing",
        "faults/test_failover.py::test_failover_to_a_replica_without_the_last_commits",
    ),
    Guarantee(
        EVERY,
        "retention",
        "`CRMGQL_EVENTS_RETENTION_DAYS`; an older cursor gets `CURSOR_EXPIRED` and a snapshot cursor",
        f"{FEED}::test_a_dropped_month_expires_its_cursors",
    ),
    Guarantee(
        EVERY,
        "rights",
        "those of the moment; what leaves one's sight is announced once",
        f"{SUBSCRIPTIONS}::test_who_follows_learns_what_comes_into_sight_and_what_leaves_it",
    ),
    Guarantee(
        PULL,
        "rights",
        "what leaves the owner's sight is announced, unless a filter might have held it back; as a stream too",
        "schema/streams/test_streams.py::test_stream_and_pull_tell_what_left_the_owners_sight",
    ),
    Guarantee(
        SOCKET,
        "duplicates",
        "none from a cursor on",
        f"{SUBSCRIPTIONS}::test_a_cursor_resumes_without_a_gap_or_a_double",
    ),
    Guarantee(
        SOCKET,
        "loss",
        "who does not read gets their cursor and is dropped",
        f"{SOCKETS}::test_who_does_not_read_is_told_the_cursor_and_dropped",
    ),
    Guarantee(
        SOCKET,
        "latency",
        "at once: 30 ms from commit to delivery are usual",
        "workers/test_feed.py::test_followers_get_at_once_what_was_committed",
    ),
    Guarantee(STREAM, "duplicates", "none: `Last-Event-ID` resumes", f"{STREAMS}::test_last_event_id_resumes"),
    Guarantee(
        STREAM,
        "loss",
        "who does not read gets their cursor and is dropped",
        f"{STREAMS}::test_who_does_not_read_is_told_the_cursor_and_dropped",
    ),
    Guarantee(
        STREAM,
        "loss",
        "a new token goes to the stream that runs, to whichever process it comes; if that is gone, a code says to connect again",
        f"{TOKENS}::test_a_stream_goes_on_with_a_new_token",
    ),
    Guarantee(
        STREAM,
        "rights",
        "those of the new token from then on; one of another user is refused",
        f"{TOKENS}::test_the_new_tokens_rights_count",
    ),
    Guarantee(POLL, "duplicates", "none: a page leads to the next", f"{POLLS}::test_pages_lead_from_one_to_the_next"),
    Guarantee(
        POLL,
        "rights",
        "what leaves one's sight is announced by its id, unless one filters",
        f"{POLLS}::test_what_leaves_ones_sight_is_told_by_its_id",
    ),
    Guarantee(
        POLL, "latency", "a poll waits up to 30 s and answers at once", f"{POLLS}::test_a_poll_waits_for_what_comes"
    ),
    Guarantee(
        POLL,
        "duplicates",
        "a named subscription gives what a pull gives, and its managed cursor stays where it is",
        f"{NAMED}::test_each_form_gives_what_a_pull_gives",
    ),
    Guarantee(
        POLL,
        "loss",
        "none: a named subscription begins behind what was committed",
        f"{NAMED}::test_without_a_cursor_it_begins_at_the_managed_one_and_does_not_move_it",
    ),
    Guarantee(
        POLL,
        "rights",
        "a proxy shares pages among those who have the same rights, and of a named subscription among those who may follow it",
        f"{NAMED}::test_a_proxy_shares_a_stream_with_who_may_follow_it_and_nothing_else",
    ),
    Guarantee(
        PULL,
        "duplicates",
        "what was handed out and not committed comes again",
        f"{PULLS}::test_what_a_crashed_worker_did_not_commit_is_delivered_again",
    ),
    Guarantee(
        PULL,
        "loss",
        "none, whatever workers do; no two hold the lease",
        f"{PULLS}::test_whatever_workers_do_nothing_is_lost_and_no_two_hold_the_lease",
    ),
    Guarantee(
        HOOK,
        "order",
        "per endpoint, customer or record, as the endpoint says; one that fails holds up its own line",
        f"{HOOKS}::test_one_that_fails_holds_up_its_customer_alone",
    ),
    Guarantee(
        HOOK,
        "duplicates",
        "at least once, with the event's id in `webhook-id`; a crash repeats a few",
        "workers/test_webhooks_crash.py::test_killed_senders_lose_nothing_and_keep_the_order",
    ),
    Guarantee(
        HOOK,
        "loss",
        "tried for 72 hours, then the endpoint is disabled; a poison event becomes a dead letter",
        f"{HOOKS}::test_after_72_hours_without_success_it_is_disabled",
    ),
    Guarantee(
        HOOK,
        "rights",
        "the owner's, as of the delivery; a record that leaves their sight is announced by its ids, one that enters it whole",
        f"{HOOK_SIGHTS}::test_a_customer_that_moves_leaves_one_endpoint_and_enters_another",
    ),
    Guarantee(
        HOOK,
        "rights",
        "with ids only, the same is said",
        f"{HOOK_SIGHTS}::test_a_thin_endpoint_is_told_too",
    ),
    Guarantee(
        HOOK,
        "rights",
        "a subscription's document says it, too, unless a filter might have held the record back",
        f"{HOOK_SIGHTS}::test_a_subscriptions_document_says_that_it_left",
    ),
    Guarantee(
        HOOK,
        "rights",
        "what hangs on a customer, such as its orders, enters and leaves with it, without events of its own",
        f"{HOOK_SIGHTS}::test_what_hangs_on_a_customer_goes_with_it",
    ),
    Guarantee(
        HOOK,
        "reach",
        "public addresses, and networks that an operator allows: a URL with another address is refused at once",
        "schema/webhooks/test_endpoints.py::test_an_address_that_is_not_public_is_refused_at_once",
    ),
    Guarantee(
        HOOK,
        "reach",
        "the same for whatever a name leads to, at each connection",
        "outbound/test_client.py::test_a_name_that_leads_elsewhere_the_second_time_is_checked_again",
    ),
    Guarantee(
        HOOK,
        "latency",
        "a database that is slow to commit holds up no request",
        "workers/test_webhooks.py::test_others_are_sent_while_outcomes_are_written",
    ),
    Guarantee(HOOK, "latency", "a slow endpoint holds up no other", f"{HOOKS}::test_a_slow_endpoint_holds_up_no_other"),
)


def table() -> str:
    """As Markdown."""
    rows = [f"| {each.transport} | {each.about} | {each.what} | `{each.test}` |" for each in GUARANTEES]
    return "\n".join(["| transport | about | what holds | shown by |", "|---|---|---|---|", *rows])
