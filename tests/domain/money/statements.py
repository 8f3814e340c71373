"""Bank statements as banks write them: camt.053 of any version, from a few facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

NEWER = 8
"""From this version on a status is a code below its element, and a party stands below `Pty`."""


@dataclass
class Part:
    """A payment of an entry; without `amount` its details say nothing of it."""

    amount: str | None = None
    name: str = "Northwind Ltd"
    iban: str = "DE02 1203 0000 0000 2020 51"
    texts: tuple[str, ...] = ("Invoice 2026-0007",)
    structured: str = ""
    end_to_end: str = "NOTPROVIDED"
    own_id: str = ""
    sign: str = ""
    currency: str = "EUR"


@dataclass
class Entry:
    """`amount` has a sign here; the file says credit or debit."""

    amount: str
    parts: list[Part] = field(default_factory=lambda: [Part()])
    status: str = "BOOK"
    reversal: bool = False
    bank_id: str = ""
    booked_on: str = "2026-03-02"
    currency: str = "EUR"

    @property
    def side(self) -> str:
        return "DBIT" if self.amount.startswith("-") else "CRDT"


def entry(given: Entry, version: int) -> str:
    wrapped = f"<Cd>{given.status}</Cd>" if version >= NEWER else given.status
    reversal = "<RvslInd>true</RvslInd>" if given.reversal else ""
    bank_id = f"<AcctSvcrRef>{given.bank_id}</AcctSvcrRef>" if given.bank_id else ""
    parts = "".join(_part(part, given, version) for part in given.parts)
    return f"""
      <Ntry><Amt Ccy="{given.currency}">{given.amount.lstrip("-")}</Amt><CdtDbtInd>{given.side}</CdtDbtInd>{reversal}
        <Sts>{wrapped}</Sts><BookgDt><Dt>{given.booked_on}</Dt></BookgDt><ValDt><Dt>{given.booked_on}</Dt></ValDt>{bank_id}
        <BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>
        <NtryDtls>{parts}</NtryDtls></Ntry>"""


def _part(part: Part, entry: Entry, version: int) -> str:
    # Of a reversal the parties are those of the payment that it takes back.
    other = "Dbtr" if ((part.sign or entry.side) == "CRDT") != entry.reversal else "Cdtr"
    name = f"<Pty><Nm>{part.name}</Nm></Pty>" if version >= NEWER else f"<Nm>{part.name}</Nm>"
    own = "Cdtr" if other == "Dbtr" else "Dbtr"
    texts = "".join(f"<Ustrd>{text}</Ustrd>" for text in part.texts)
    structured = f"<Strd><CdtrRefInf><Ref>{part.structured}</Ref></CdtrRefInf></Strd>" if part.structured else ""
    amount = "" if part.amount is None else f'<Amt Ccy="{part.currency}">{part.amount}</Amt>'
    if amount and version < 4:
        amount = f"<AmtDtls><TxAmt>{amount}</TxAmt></AmtDtls>"
    return f"""<TxDtls>
        <Refs><EndToEndId>{part.end_to_end}</EndToEndId>{f"<TxId>{part.own_id}</TxId>" if part.own_id else ""}</Refs>{amount}
        {f"<CdtDbtInd>{part.sign}</CdtDbtInd>" if part.sign else ""}
        <RltdPties><{own}><Nm>Our own name</Nm></{own}><{other}>{name}</{other}>
          <{other}Acct><Id><IBAN>{part.iban}</IBAN></Id></{other}Acct></RltdPties>
        <RmtInf>{texts}{structured}</RmtInf></TxDtls>"""


def balance(code: str, amount: str, day: str, currency: str) -> str:
    side = "DBIT" if amount.startswith("-") else "CRDT"
    return f"""<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="{currency}">{amount.lstrip("-")}</Amt>
      <CdtDbtInd>{side}</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"""


def statement(
    *entries: Entry,
    version: int = 8,
    opening: str = "100.00",
    closing: str | None = None,
    id: str = "S1",
    iban: str = "DE75 5121 0800 1245 1261 99",
    currency: str = "EUR",
) -> str:
    """A Stmt whose closing balance is right, unless another one is given."""
    if closing is None:
        booked = (Decimal(each.amount) for each in entries if each.status == "BOOK")
        closing = str(Decimal(opening) + sum(booked, Decimal(0)))
    return f"""<Stmt><Id>{id}</Id><Acct><Id><IBAN>{iban}</IBAN></Id><Ccy>{currency}</Ccy></Acct>
      {balance("OPBD", opening, "2026-03-01", currency)}{balance("CLBD", closing, "2026-03-02", currency)}
      {"".join(entry(each, version) for each in entries)}</Stmt>"""


def document(*statements: str, version: int = 8, prolog: str = "") -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>{prolog}
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version:02}"><BkToCstmrStmt>
  <GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-03-02T20:00:00+01:00</CreDtTm></GrpHdr>
  {"".join(statements)}</BkToCstmrStmt></Document>""".encode()


def file(*entries: Entry, version: int = 8) -> bytes:
    """A file of one statement."""
    return document(statement(*entries, version=version), version=version)
