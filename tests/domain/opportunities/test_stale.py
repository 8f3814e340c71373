"""When an alert is due: hours of days that count, against a loop over minutes; thresholds, episodes, snoozing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.opportunities import stale
from crmgql.domain.opportunities.stale import Calendar, Patience, Silence

BERLIN = Calendar("Europe/Berlin", frozenset({1, 2, 3, 4, 5}), frozenset({date(2026, 12, 25)}))
NEW = Silence(0, 1, None, None)
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)  # a Monday
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # changes at midnight
    "Australia/Lord_Howe",  # by half an hour
    "Asia/Kathmandu",
    "Pacific/Apia",  # had no 30 December 2011
)
calendars = st.builds(
    Calendar,
    st.sampled_from(ZONES),
    st.frozensets(st.integers(1, 7), min_size=1),
    st.frozensets(st.dates(date(2011, 12, 1), date(2018, 12, 31)), max_size=5),
)
# Whole quarters of an hour, so that the loop needs no smaller steps.
moments = st.integers(0, 6 * 365 * 96).map(lambda n: datetime(2011, 12, 1, tzinfo=UTC) + timedelta(minutes=15 * n))
hours = st.integers(1, 200)


def counted(base: datetime, wanted: int, calendar: Calendar) -> datetime:
    """The same by brute force: quarter by quarter, each counts when its beginning is on a day that does."""
    zone, quarters, moment = ZoneInfo(calendar.timezone), wanted * 4, base
    while quarters:
        quarters -= calendar.works(moment.astimezone(zone).date())
        moment += timedelta(minutes=15)
    return moment


@given(moments, hours, calendars)
def test_hours_of_working_days_are_what_a_loop_counts(base: datetime, wanted: int, calendar: Calendar) -> None:
    assert stale.due(base, wanted, calendar) == counted(base, wanted, calendar)


@given(moments, hours, hours, calendars)
def test_patience_adds_up(base: datetime, first: int, second: int, calendar: Calendar) -> None:
    both = stale.due(base, first + second, calendar)
    assert stale.due(stale.due(base, first, calendar), second, calendar) == both


@given(moments, moments, hours, calendars)
def test_who_was_touched_later_is_due_no_earlier(one: datetime, other: datetime, wanted: int, days: Calendar) -> None:
    early, late = sorted((one, other))
    assert stale.due(early, wanted, days) <= stale.due(late, wanted, days)


def test_without_a_calendar_every_hour_counts() -> None:
    assert stale.due(NOON, 48, None) == NOON + timedelta(hours=48)


def test_weekends_and_holidays_do_not_count() -> None:
    friday = datetime(2026, 11, 6, 17, tzinfo=ZoneInfo("Europe/Berlin"))
    assert stale.due(friday, 8, BERLIN) == datetime(2026, 11, 9, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    christmas_eve = datetime(2026, 12, 24, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    assert stale.due(christmas_eve, 24, BERLIN) == datetime(2026, 12, 28, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    saturday = datetime(2026, 11, 7, 3, tzinfo=UTC)
    assert stale.due(saturday, 1, BERLIN) == datetime(2026, 11, 9, 1, tzinfo=ZoneInfo("Europe/Berlin"))


def test_the_night_in_which_the_clocks_change_has_its_own_length() -> None:
    every_day = Calendar("Europe/Berlin", frozenset(range(1, 8)), frozenset())
    sunday = Calendar("Europe/Berlin", frozenset({7}), frozenset())
    saturday = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    assert stale.due(saturday, 24, every_day) == datetime(2026, 3, 29, 13, tzinfo=ZoneInfo("Europe/Berlin"))
    week_later = datetime(2026, 4, 5, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert stale.due(saturday, 24, sunday) == week_later  # 29 March had 23 hours


def stands(silence: Silence, now: datetime, *, since: datetime = NOON, snoozed: datetime | None = None) -> Silence:
    return stale.next_alert(silence, Patience(48, 24), since=since, snoozed_until=snoozed, now=now)


def test_first_the_owner_then_the_manager_then_nobody() -> None:
    owner, manager = NOON + timedelta(hours=48), NOON + timedelta(hours=72)
    assert stands(NEW, NOON).stale_at == owner
    assert stands(NEW, NOON + timedelta(days=365)).stale_at == owner
    told = Silence(1, 1, owner, owner)
    assert stands(told, owner) == Silence(1, 1, owner, manager)
    assert stands(Silence(2, 1, owner, manager), manager) == Silence(2, 1, owner, None)


def test_an_activity_ends_the_episode() -> None:
    now = NOON + timedelta(days=9)
    for level in (1, 2):
        revived = stands(Silence(level, 3, NOON, None), now, since=now)
        assert revived == Silence(0, 4, None, now + timedelta(hours=48))
    late = stands(Silence(1, 3, NOON, None), now, since=now - timedelta(days=5))
    assert (late.level, late.episode, late.stale_at) == (1, 3, now - timedelta(days=2))


def test_snoozing_puts_off_and_wakes_up() -> None:
    until, now = NOON + timedelta(days=20), NOON + timedelta(days=9)
    assert stands(NEW, NOON, snoozed=until).stale_at == until
    assert stands(Silence(1, 1, NOON, None), now, snoozed=until) == Silence(0, 2, None, until)
    woken = stands(Silence(1, 2, until, until), until, snoozed=until)
    assert woken.stale_at == until + timedelta(hours=24)
    assert stands(NEW, NOON, snoozed=NOON).stale_at == NOON + timedelta(hours=48)


def test_a_stage_without_patience_is_never_stale() -> None:
    for patience in (Patience(None, None), Patience(None, None, BERLIN)):
        for level in (0, 1, 2):
            after = stale.next_alert(Silence(level, 1, None, NOON), patience, since=NOON, snoozed_until=None, now=NOON)
            assert (after.level, after.stale_at) == (0, None)
    only_owner = stale.next_alert(
        Silence(1, 1, NOON, NOON), Patience(1, None), since=NOON, snoozed_until=None, now=NOON
    )
    assert only_owner.stale_at == NOON + timedelta(hours=1)
