"""Normal forms: what is one address, number, company; and what is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.leads import lead_contacts
from crmgql.models import Lead


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("ann@example.com", "ann@example.com"),
        ("  Ann@EXAMPLE.com ", "ann@example.com"),
        ("ann+news@example.com", "ann@example.com"),
        ("+ann@example.com", "+ann@example.com"),
        ("Ann.Lee+x@gmail.com", "annlee@gmail.com"),
        ("annlee@googlemail.com", "annlee@gmail.com"),
        ("ann.lee@example.com", "ann.lee@example.com"),
        ("ａｎｎ＠ｅｘａｍｐｌｅ.com", "ann@example.com"),
        ("ann@xn--mller-kva.de", "ann@müller.de"),
        ("ann@MÜLLER.de", "ann@müller.de"),
        ("李伟@例子.中国", "李伟@例子.中国"),
        ("ann\u200b@example.com", "ann@example.com"),
        ("ann@xn--\u00e4.de", "ann@xn--ä.de"),
        ("ann@localhost", None),
        ("ann at example.com", None),
        ("a b@example.com", None),
        ("@example.com", None),
        ("", None),
        (None, None),
    ],
)
def test_email(given: str | None, normal: str | None) -> None:
    assert lead_contacts.email(given) == normal


@pytest.mark.parametrize(
    ("given", "country", "normal"),
    [
        ("13800138000", "CN", "+8613800138000"),
        ("138 0013 8000", "China", "+8613800138000"),
        ("138-0013-8000", "中国", "+8613800138000"),
        ("+86 138 0013 8000", None, "+8613800138000"),
        ("0086 13800138000", None, "+8613800138000"),
        ("０１０－１２３４５６７８", "cn", "+861012345678"),
        ("(010) 1234 5678", "People's Republic of China", "+861012345678"),
        ("030 / 123 456 78", "Germany", "+493012345678"),
        ("030-12345678", "Deutschland", "+493012345678"),
        ("+49 (0)30 12345678", None, "+493012345678"),
        ("+49 (0) 30 / 123 456-78", "United States", "+493012345678"),
        ("0049 30 12345678", "DE", "+493012345678"),
        ("0171 1234567", "DEU", "+491711234567"),
        ("(650) 253-0000", "United States", "+16502530000"),
        ("1-650-253-0000", "USA", "+16502530000"),
        ("650.253.0000 ext. 12", "us", "+16502530000"),
        ("011 49 30 12345678", "US", "+493012345678"),
        ("020 7946 0958", "UK", "+442079460958"),
        ("01 42 68 53 00", "France", "+33142685300"),
        ("٠٥٠١٢٣٤٥٦٧", "Saudi Arabia", "+966501234567"),
        ("030 123 456 78", None, "03012345678"),
        ("030 123 456 78", "Atlantis", "03012345678"),
        ("+999 12", None, None),
        ("000 000 000", None, None),
        ("12345", None, None),
        ("call me", "Germany", None),
        ("", "Germany", None),
        (None, None, None),
    ],
)
def test_phone(given: str | None, country: str | None, normal: str | None) -> None:
    assert lead_contacts.phone(given, country) == normal


@pytest.mark.parametrize(
    ("email", "website", "domain"),
    [
        ("ann@acme.com", None, "acme.com"),
        ("ann@acme.com", "https://other.com", "acme.com"),
        ("ann@gmail.com", "https://www.Acme.de/about?x=1", "acme.de"),
        ("ann@gmail.com", None, None),
        ("ann@qq.com", None, None),
        ("ann@163.com", "acme.cn", "acme.cn"),
        ("ann@web.de", None, None),
        ("ann@outlook.de", None, None),
        ("ann@yahoo.co.jp", None, None),
        ("ann@hotmail.com.br", None, None),
        ("ann@live.acme.com", None, "live.acme.com"),
        ("ann@yahoo-fans.com", None, "yahoo-fans.com"),
        (None, "http://user:pw@www.acme.co.uk:8080/", "acme.co.uk"),
        (None, "HTTPS://ACME.COM.", "acme.com"),
        (None, "https://xn--mller-kva.de", "müller.de"),
        (None, "https://www.com", "www.com"),
        (None, "https://facebook.com/acme", None),
        (None, "https://de.linkedin.com/company/acme", None),
        (None, "https://192.168.0.1", None),
        (None, "http://[bad", None),
        (None, "not a site", None),
        (None, "", None),
        ("nonsense", None, None),
    ],
)
def test_domain(email: str | None, website: str | None, domain: str | None) -> None:
    assert lead_contacts.domain(email, website) == domain


@pytest.mark.parametrize(
    ("given", "folded"),
    [
        ("Acme, Inc.", "acme"),
        ("ACME Inc", "acme"),
        ("Acme Co., Ltd.", "acme"),
        ("Müller & Söhne GmbH & Co. KG", "muller sohne"),
        ("L'Oréal S.A.", "loreal"),
        ("Bocconi S.p.A.", "bocconi"),
        ("Foo sp. z o.o.", "foo sp z oo"),
        ("深圳市华为技术有限公司", "深圳市华为技术"),
        ("株式会社日立製作所", "日立製作所"),
        ("Ａｃｍｅ Ltd", "acme"),
        ("AG Insurance", "ag insurance"),
        ("Co", "co"),
        ("Straße", "strasse"),
        ("公司", None),
        (" ", None),
        (None, None),
    ],
)
def test_company(given: str | None, folded: str | None) -> None:
    assert lead_contacts.company(given) == folded


@pytest.mark.parametrize(
    ("one", "other", "least", "most"),
    [
        ("ann lee", "ann lee", 1, 1),
        ("ann lee", "lee ann", 1, 1),
        ("j smith", "john smith", 0.5, 0.7),
        ("jon smith", "john smith", 0.5, 0.8),
        ("李伟", "李伟", 1, 1),
        ("ann lee", "bob ray", 0, 0),
        ("", "ann", 0, 0),
        (None, None, 0, 0),
    ],
)
def test_alike(one: str | None, other: str | None, least: float, most: float) -> None:
    assert least <= lead_contacts.alike(one, other) <= most
    assert lead_contacts.alike(one, other) == lead_contacts.alike(other, one)


TEXTS = st.one_of(st.none(), st.text(max_size=300), st.text("0123456789+-() ext.,", max_size=60))


@given(TEXTS, TEXTS, TEXTS)
def test_whatever_people_type(one: str | None, two: str | None, three: str | None) -> None:
    """Never raises, fits its column, and is its own normal form."""
    longest = {name: Lead._meta.fields_map[name].max_length for name in ("normal_email", "normal_phone", "domain")}
    email = lead_contacts.email(f"{one}@{two}.com" if one and two else one)
    phone, domain = lead_contacts.phone(one, two), lead_contacts.domain(two, three)
    for value, name in ((email, "normal_email"), (phone, "normal_phone"), (domain, "domain")):
        assert value is None or 0 < len(value) <= longest[name]
    assert email is None or lead_contacts.email(email) == email
    assert phone is None or lead_contacts.phone(phone) == phone
    for folded, fold in (
        (lead_contacts.company(one), lead_contacts.company),
        (lead_contacts.name(one), lead_contacts.name),
    ):
        assert folded is None or fold(fold(folded)) == fold(folded)


def test_a_huge_value_takes_no_time() -> None:
    started = time.process_time()
    for huge in ("+49 30 1" * 100_000, "a@" * 400_000, "ﬁ" * 800_000):
        for normal in (
            lead_contacts.phone,
            lead_contacts.email,
            lead_contacts.site,
            lead_contacts.name,
            lead_contacts.company,
        ):
            normal(huge)
    assert time.process_time() - started < 0.5
