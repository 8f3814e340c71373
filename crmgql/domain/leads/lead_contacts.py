"""Normal forms of what people type, so that two spellings of one address, number or name are equal.

Pure. Enters: text as typed, or None. Leaves: the normal form, or None where there is nothing to compare. Never raises: what
can't be read does not help to find duplicates.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from urllib.parse import urlsplit

import phonenumbers
from babel import Locale
from babel.core import get_global

LONGEST_EMAIL, LONGEST_PHONE = 254, 40
LONGEST_READ = 1_000
"""Longer values are refused by the checks of their columns; until then they must not take time here."""

FEWEST_DIGITS = 6
"""Fewer digits are an extension or a typing error, and would match different people."""


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


DOTS_IGNORED = frozenset({"gmail.com", "googlemail.com"})

FREE_MAIL = _words_of(
    """
    gmail.com googlemail.com msn.com icloud.com me.com mac.com aol.com mail.com email.com hey.com fastmail.com
    ymail.com rocketmail.com zohomail.com proton.me protonmail.com pm.me tutanota.com tuta.io web.de t-online.de
    freenet.de arcor.de posteo.de mailbox.org online.de email.de qq.com foxmail.com 163.com 126.com yeah.net
    sina.com sina.cn sohu.com tom.com 139.com 189.cn wo.cn aliyun.com 21cn.com mail.ru bk.ru list.ru inbox.ru
    rambler.ru ukr.net naver.com daum.net hanmail.net nate.com docomo.ne.jp ezweb.ne.jp softbank.ne.jp
    i.softbank.jp orange.fr wanadoo.fr free.fr laposte.net sfr.fr neuf.fr libero.it virgilio.it alice.it tin.it
    tiscali.it uol.com.br bol.com.br terra.com.br ig.com.br rediffmail.com comcast.net verizon.net att.net
    sbcglobal.net cox.net bellsouth.net charter.net btinternet.com sky.com talktalk.net ntlworld.com bigpond.com
    optusnet.com.au seznam.cz centrum.cz wp.pl o2.pl onet.pl interia.pl bluewin.ch gmx.net telenet.be skynet.be
    ziggo.nl kpnmail.nl mailinator.com guerrillamail.com 10minutemail.com yopmail.com trashmail.com
    """
)
FREE_FAMILIES = frozenset({"yahoo", "hotmail", "outlook", "live", "gmx", "yandex", "zoho"})
"""Providers with a domain per country, such as yahoo.co.jp and outlook.de."""

SHARED_HOSTS = _words_of(
    """
    facebook.com linkedin.com instagram.com twitter.com x.com youtube.com tiktok.com xing.com weibo.com
    github.com github.io google.com wordpress.com blogspot.com medium.com wixsite.com linktr.ee taobao.com
    tmall.com
    """
)
"""Sites on which many companies have a page: the host does not identify a company."""

LEGAL_FORMS = _words_of(
    """
    inc incorporated corp corporation co company ltd limited llc llp lp plc pc gmbh mbh ag kg kgaa ohg ug gbr ev
    eg se sa sas sarl sasu eurl srl spa sl slu sc bv nv vof cv ab as asa aps oy oyj pty pte pvt bhd sdn kk gk
    doo dd kft zrt sro spzoo ooo oao zao ltda lda haftungsbeschrankt und and et y
    """
)
CHINESE_FORMS = re.compile(
    r"(股份有限公司|有限责任公司|有限責任公司|集团有限公司|有限公司|株式会社|有限会社|合同会社|주식회사|公司)"
)

ALIASES = {
    "america": "US",
    "usa": "US",
    "united states of america": "US",
    "uk": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "great britain": "GB",
    "korea": "KR",
    "republic of korea": "KR",
    "czech republic": "CZ",
    "russian federation": "RU",
    "prc": "CN",
    "peoples republic of china": "CN",
    "holland": "NL",
    "the netherlands": "NL",
    "turkey": "TR",
    "uae": "AE",
    "hong kong": "HK",
    "macau": "MO",
}


def email(typed: str | None) -> str | None:
    """`Ann.Lee+news@GoogleMail.com` → `annlee@gmail.com`. Tags after a plus are dropped, and Gmail's dots."""
    local, at, host = _plain(typed).lower().rpartition("@")
    host = _host(host)
    tagless = local.partition("+")[0] or local
    if host in DOTS_IGNORED:
        tagless, host = tagless.replace(".", "") or tagless, "gmail.com"
    found = f"{tagless}@{host}"
    if not at or not tagless or "." not in host or len(found) > LONGEST_EMAIL or re.search(r"\s", found):
        return None
    return found


def phone(typed: str | None, country: str | None = None) -> str | None:
    """In E.164, such as +493012345678; a national number without a country as its bare digits.

    `country` is an ISO code or a name, in English or in the country's own language.
    """
    text = _plain(typed)
    text = re.sub(r"^\s*\(?00", "+", text)
    try:
        number = phonenumbers.parse(text, region(country))
    except phonenumbers.NumberParseException:
        number = None
    if number is not None and phonenumbers.is_possible_number(number):
        return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    digits = "".join(str(unicodedata.digit(letter)) for letter in text if letter.isdecimal())
    digits = re.sub(r"^(00)+", "", digits)[
        :LONGEST_PHONE
    ]  # as at the start, also where something stands between the zeros
    return digits if len(digits) >= FEWEST_DIGITS and len(set(digits)) > 1 else None


def domain(email_address: str | None, website: str | None) -> str | None:
    """The company's domain: the e-mail address's, unless it is a free provider's, else the website's."""
    normal = email(email_address)
    host = normal.rpartition("@")[2] if normal else ""
    if host and not is_free(host):
        return _without_www(host)
    return site(website)


def site(website: str | None) -> str | None:
    """`https://www.Acme.com/about` → `acme.com`; None for a page on a site that many share."""
    text = _plain(website).lower()
    try:
        host = _without_www(_host(urlsplit(text if "://" in text else f"//{text}").hostname or ""))
    except ValueError:
        return None
    shared = any(host == each or host.endswith(f".{each}") for each in SHARED_HOSTS)
    named = re.fullmatch(r"[^\s.@/]+(\.[^\s.@/]+)+", host) and not re.fullmatch(r"[\d.]+", host)
    return host if named and not shared and not is_free(host) and len(host) <= LONGEST_EMAIL else None


def is_free(host: str) -> bool:
    """Whether anybody can have an address at this host, so that it does not identify a company."""
    family, _, rest = host.partition(".")
    country_wide = re.fullmatch(r"com|net|org|[a-z]{2}|(com?|ne|or)\.[a-z]{2}", rest)
    return host in FREE_MAIL or (family in FREE_FAMILIES and country_wide is not None)


def company(typed: str | None) -> str | None:
    """`Müller & Söhne GmbH & Co. KG` → `muller sohne`: without legal form, punctuation, accents and case."""
    words = _words(CHINESE_FORMS.sub(" ", _plain(typed)))
    kept = list(words)
    while kept and kept[-1] in LEGAL_FORMS:
        kept.pop()
    return " ".join(kept or words) or None


def name(typed: str | None) -> str | None:
    """A person's name without punctuation, accents and case."""
    return " ".join(_words(_plain(typed))) or None


def alike(one: str | None, other: str | None) -> float:
    """The similarity of two normal forms, 0 to 1: the share of common trigrams, as PostgreSQL's `similarity` counts it."""
    mine, its = _trigrams(one or ""), _trigrams(other or "")
    return len(mine & its) / len(mine | its) if mine and its else 0.0


def region(country: str | None) -> str | None:
    """The ISO code for a country's code or name; None for an unknown one."""
    text = _plain(country)
    if len(text) == 2 and text.upper() in phonenumbers.SUPPORTED_REGIONS:
        return text.upper()
    return _regions().get(" ".join(_words(text)))


@cache
def _regions() -> dict[str, str]:
    """ISO codes by the countries' normalised names in several languages; where two languages disagree, English wins."""
    names: dict[str, str] = {}
    for language in ("de", "fr", "es", "it", "pt", "nl", "ja", "ko", "zh", "en"):
        for code, called in Locale(language).territories.items():
            if code in phonenumbers.SUPPORTED_REGIONS:
                names[" ".join(_words(called))] = code
    alpha3 = {old.lower(): new[0] for old, new in get_global("territory_aliases").items() if len(old) == 3}
    known = {old: code for old, code in alpha3.items() if code in phonenumbers.SUPPORTED_REGIONS and old.isalpha()}
    return known | names | ALIASES


def _plain(text: str | None) -> str:
    """The text with full-width letters made plain and invisible characters removed."""
    plain = unicodedata.normalize("NFKC", (text or "")[:LONGEST_READ])
    return "".join(letter for letter in plain if unicodedata.category(letter) != "Cf").strip()


def _words(text: str) -> list[str]:
    """Words without accents, with `S.A.` and `U.S.` as one word each."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = unicodedata.normalize("NFC", "".join(letter for letter in decomposed if not unicodedata.combining(letter)))
    return re.findall(r"\w+", re.sub(r"['’.`]", "", bare.replace("_", " ")))


def _host(host: str) -> str:
    """A host name decoded from punycode: `xn--mller-kva.de` → `müller.de`."""
    labels = host.strip().rstrip(".").split(".")
    return ".".join(_label(label) for label in labels)


def _label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError):
        return label


def _without_www(host: str) -> str:
    return host.removeprefix("www.") if host.count(".") > 1 else host


def _trigrams(text: str) -> frozenset[str]:
    padded = [f"  {word} " for word in text.split()]
    return frozenset(word[start : start + 3] for word in padded for start in range(len(word) - 2))
