"""Leads and campaigns from files: their times, what duplicates are found by, and what became of them."""

from __future__ import annotations

from typing import Any

import pytest

from crmgql.errors import SetupError
from tests.imports.conftest import NOW, Workshop

HEAD = 'source = "test"\ncurrency = "EUR"\n'


def step(noun: str, file: str, fields: str, more: str = "") -> str:
    return f'[[step]]\nnoun = "{noun}"\nfile = "{file}"\nexternal_id = "{{id}}"\n{more}[step.fields]\n{fields}\n'


async def lead(shop: Workshop, columns: str) -> tuple[Any, ...]:
    ((*row,),) = await shop.rows(f"SELECT {columns} FROM leads")
    return tuple(row)


TIMES = ("received_at", "status_since", "converted_at", "last_activity_at")
EARLY, LATE = "2026-01-01 08:00", "2026-02-01 08:00"


@pytest.mark.parametrize(
    ("given", "received", "since", "activity"),
    [
        ({}, None, None, None),
        ({"received_at": EARLY}, EARLY, EARLY, EARLY),
        ({"status_since": EARLY}, EARLY, EARLY, EARLY),
        ({"last_activity_at": LATE}, LATE, LATE, LATE),
        ({"received_at": EARLY, "last_activity_at": LATE}, EARLY, EARLY, LATE),
        ({"received_at": EARLY, "converted_at": LATE}, EARLY, LATE, LATE),
        ({"received_at": LATE, "converted_at": EARLY}, LATE, EARLY, LATE),
        ({"status_since": LATE, "last_activity_at": EARLY}, EARLY, LATE, EARLY),
    ],
)
@pytest.mark.parametrize("mapped", ["given", "all"])
async def test_times_follow_from_one_another(
    shop: Workshop, given: dict[str, str], received: Any, since: Any, activity: Any, mapped: str
) -> None:
    """Whether a time is not mapped or blank in the row makes no difference; with none at all it is now."""
    names = [name for name in TIMES if mapped == "all" or name in given]
    shop.file(
        "l.csv", ",".join(["id", *names]) + "\n" + ",".join(["1", *(given.get(name, "") for name in names)]) + "\n"
    )
    status = 'status = "CONVERTED"\n' if "converted_at" in given else ""
    fields = 'name = "L"\n' + status + "".join(f'{name} = "{{{name}}}"\n' for name in names)
    assert (await shop.run(HEAD + step("leads", "l.csv", fields))).total.inserted == 1
    found = await lead(shop, "received_at, status_since, last_activity_at")
    expected = [moment or f"{NOW:%Y-%m-%d %H:%M}" for moment in (received, since, activity)]
    assert [f"{moment:%Y-%m-%d %H:%M}" for moment in found] == expected
    later = NOW.replace(year=NOW.year + 1)
    assert (await shop.run(HEAD + step("leads", "l.csv", fields), now=later)).total.unchanged == 1
    assert await lead(shop, "received_at, status_since, last_activity_at") == found


async def test_what_duplicates_are_found_by(shop: Workshop) -> None:
    shop.file(
        "l.csv",
        "id,mail,phone,country,site\n1,Ann.Lee+x@Gmail.com,030 1234567,Germany,https://www.acme.example/a\n2,,,,\n",
    )
    fields = 'name = "L"\nemail = "{mail}"\nphone = "{phone}"\ncountry = "{country}"\nwebsite = "{site}"'
    assert (await shop.run(HEAD + step("leads", "l.csv", fields))).total.inserted == 2
    rows = await shop.rows("SELECT normal_email, normal_phone, domain FROM leads ORDER BY external_id")
    assert rows == [("annlee@gmail.com", "+49301234567", "acme.example"), (None, None, None)]
    # Another step over the same lead that knows nothing of its address leaves these alone, and one that does does not.
    shop.file("m.csv", "id,mail\n1,bob@new.example\n")
    await shop.run(HEAD + step("leads", "m.csv", 'name = "L"\nscore = 7'))
    assert (await shop.rows("SELECT score, normal_email FROM leads WHERE external_id = '1'")) == [
        (7, "annlee@gmail.com")
    ]
    await shop.run(HEAD + step("leads", "m.csv", 'name = "L"\nemail = "{mail}"'))
    query = "SELECT normal_email, domain, normal_phone FROM leads WHERE external_id = '1'"
    assert await shop.rows(query) == [("bob@new.example", "new.example", "+49301234567")]


async def test_what_became_of_them(shop: Workshop) -> None:
    shop.file(
        "l.csv",
        "id,status,reason,converted\nnew,NEW,,\nnurturing,NURTURING,,\nwon,CONVERTED,,2026-01-01\nlost,LOST,Too dear,\n"
        "no date,CONVERTED,,\nno reason,LOST,,\nearly,NEW,,2026-01-01\nmerged,MERGED,,\nwrong,OPEN,,\n",
    )
    fields = 'name = "{id}"\nstatus = "{status}"\nlost_reason = "{reason}"\nconverted_at = "{converted}"'
    await shop.run(HEAD + step("leads", "l.csv", fields))
    assert {row[0] for row in await shop.rows("SELECT name FROM leads")} == {"new", "nurturing", "won", "lost"}
    assert [reject["line"] for reject in shop.rejects()] == ["6", "7", "8", "9", "10"]
    assert "leads_lost" in shop.rejects()[1]["reason"]


async def test_whose_they_are(shop: Workshop) -> None:
    shop.file("all.csv", "id,name\n1,Acme\n2,Bell\n")
    people = step("users", "all.csv", 'name = "{name}"') + step("customers", "all.csv", 'name = "{name}"')
    people += step("contacts", "all.csv", 'name = "{name}"\ncustomer = "{id}"')
    people += step(
        "campaigns", "all.csv", 'name = "{name}"\nchannel = "EMAIL"\nspend_amount = "1.5"\nstarts_on = 2026-01-01'
    )
    shop.file("l.csv", "id,owner,contact,customer,campaign\n1,1,1,,Acme\n2,,2,1,\n3,3,,,\n4,,,,Nothing\n")
    fields = 'name = "L"\nowner = "{owner}"\ncontact = "{contact}"\ncustomer = "{customer}"\n'
    fields += 'campaign = { template = "{campaign}", by = "name" }'
    await shop.run(HEAD + people + step("leads", "l.csv", fields))
    found = await shop.rows(
        "SELECT u.name, c.name, m.name, m.spend_amount::text FROM leads l JOIN users u ON u.id = l.owner_id"
        " JOIN customers c ON c.id = l.customer_id JOIN campaigns m ON m.id = l.campaign_id"
    )
    assert found == [("Acme", "Acme", "Acme", "1.50")]
    columns = [(reject["line"], reject["column"]) for reject in shop.rejects()]
    assert columns == [("3", "contact"), ("4", "owner"), ("5", "campaign")]


@pytest.mark.parametrize("noun", ["leads", "customers"])
async def test_who_went_to_a_pool_stays_there_and_is_updated(shop: Workshop, noun: str) -> None:
    shop.file("u.csv", "id\n1\n")
    shop.file("l.csv", "id,city\n1,Bonn\n")
    fields = 'name = "L"\nowner = "{id}"\ncity = "{city}"'
    mapping = HEAD + step("users", "u.csv", 'name = "Ann"') + step(noun, "l.csv", fields)
    await shop.run(mapping)
    assert await shop.value(f"SELECT count(*) FROM {noun} WHERE owner_id IS NOT NULL") == 1
    pool_id = await shop.value("INSERT INTO pools (name, kind) VALUES ('P', $1) RETURNING id", noun[:-1].upper())
    await shop.connection.execute(f"UPDATE {noun} SET owner_id = NULL, pool_id = $1", pool_id)
    shop.file("l.csv", "id,city\n1,Köln\n")
    await shop.run(mapping)
    assert shop.rejects() == []
    assert await shop.rows(f"SELECT city, owner_id, pool_id FROM {noun}") == [("Köln", None, pool_id)]
    assert (await shop.run(mapping)).total.unchanged == 2


@pytest.mark.parametrize(
    "field", ["pool", "queue", "merged_into", "normal_email", "domain", "routing", "intake_source"]
)
async def test_what_the_crm_keeps_itself_can_not_be_mapped(shop: Workshop, field: str) -> None:
    shop.file("l.csv", "id\n1\n")
    with pytest.raises(SetupError, match=f"{field}: leads have no such field"):
        await shop.run(HEAD + step("leads", "l.csv", f'name = "L"\n{field} = "x"'))


async def test_nobody_is_routed_or_written_to_by_an_import(shop: Workshop) -> None:
    shop.file("l.csv", "id,mail\n1,a@acme.example\n2,a@acme.example\n")
    await shop.run(HEAD + step("leads", "l.csv", 'name = "L"\nemail = "{mail}"'))
    assert await shop.value("SELECT count(*) FROM jobs") == 0
    assert await shop.rows("SELECT kind FROM events ORDER BY id") == [("lead.created",)] * 2 + [("import.finished",)]
