"""Rules of follow-ups: mistakes are found when they are written."""

from __future__ import annotations

from uuid import uuid4

import pytest

from crmgql.domain.marketing import templates
from crmgql.errors import BadUserInput
from tests.schema.cases_messages import rule
from tests.schema.world import World


def email(**more: object) -> dict[str, object]:
    given = {"name": f"Rule {uuid4()}", "leadStatus": "NURTURING", "afterH": 48, "action": "EMAIL"}
    return {**given, "subject": "Hi {{ lead.first_name }}", "body": "Dear {{ lead.name }}", **more}


async def test_create_and_read_back(world: World) -> None:
    given = email()
    show = "id name leadStatus afterH action subject body active version"
    made = (await world.do("followUpRuleCreate", "MARKETER", show, **given)).done
    id = made.pop("id")
    assert made == {**given, "active": True, "version": 1}
    assert await world.told(id) == ["followUpRule.created"]
    off = (await world.do("followUpRuleUpdate", "MARKETER", "active version", id=id, active=False)).done
    assert off == {"active": False, "version": 2}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("leadStatus", "LOST"),
        ("leadStatus", "MERGED"),
        ("afterH", -1),
        ("afterH", 100_000),
        ("subject", ""),
        ("subject", "{{ lead.nonsense }}"),
        ("subject", "{{"),
        ("body", None),
        ("body", "  "),
        ("body", "{% if lead.company %}{{ lead.salary }}{% endif %}"),
        ("body", "{{ nobody }}"),
        ("body", "{% for x in lead %}{% endfor %}"),
        ("body", "{{ 'x' * 1000000000 }}"),
        ("body", "{{ lead.__class__.__mro__ }}"),
        ("body", "{{ lead.name.format(lead) }}"),
        ("body", "{{ lead.name | center(1000000000) }}"),
        ("body", "{% include 'x' %}"),
        ("body", "{% if lead.company %}{{ lead.name | title(1) }}{% endif %}"),
        ("body", "{% if lead.name %}" * 2000),
        ("body", "x" * 20_001),
    ],
)
async def test_a_mistake_is_named(world: World, field: str, value: object) -> None:
    before = await world.counts()
    answer = await world.do("followUpRuleCreate", **email(**{field: value}))
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)
    assert await world.counts() == before
    if field != "subject" or value:
        id = await rule(world)
        answer = await world.do("followUpRuleUpdate", id=id, **{field: value})
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)


async def test_names_are_taken_once(world: World) -> None:
    given = email(name="Welcome")
    await world.do("followUpRuleCreate", **given)
    answer = await world.do("followUpRuleCreate", **{**given, "name": "WELCOME"})
    assert (answer.code, answer.field) == ("CONFLICT", "name")


async def test_a_task_may_become_an_email_only_with_a_body(world: World) -> None:
    id = await rule(world, action="TASK", body=None)
    answer = await world.do("followUpRuleUpdate", id=id, action="EMAIL")
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "body")
    assert (await world.do("followUpRuleUpdate", id=id, action="EMAIL", body="Hello")).code is None


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hi {{ lead.first_name | title }},", "Hi Ann,"),
        ("{{ lead.name }} of {{ lead.company or 'nowhere' }}", "ann lee of nowhere"),
        ("{% if lead.company %}A{% elif owner.name %}{{ owner.name }}{% else %}C{% endif %}", "Bob"),
        ("{{ lead.company | default('you', true) | upper }}", "YOU"),
        ("{{ unsubscribe }} <b>&\n", "stop@example.com <b>&\n"),
    ],
)
def test_what_templates_say(source: str, text: str) -> None:
    templates.check(source, field="body")
    values = templates.variables(name="ann lee", owner="Bob", unsubscribe="stop@example.com")
    assert templates.render(source, values) == text


def test_what_a_lead_is_called_is_never_a_template() -> None:
    values = templates.variables(name="{{ owner.name }} {% raw %}")
    assert templates.render("{{ lead.name }}", values) == "{{ owner.name }} {% raw %}"


def test_a_check_says_what_there_is() -> None:
    with pytest.raises(BadUserInput, match=r"lead\.first_name"):
        templates.check("{{ lead.email }}", field="body")


@pytest.mark.parametrize("source", ["{{ lead.name" + "|upper" * 250 + " }}", "{{ " + "not " * 190 + "lead.name }}"])
def test_a_template_nested_so_deeply_that_compiling_takes_seconds_is_refused(source: str) -> None:
    with pytest.raises(BadUserInput, match="32 levels"):
        templates.check(source, field="body")
