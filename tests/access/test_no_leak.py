"""Random queries through the whole schema, as everybody: the answer is exactly what the oracle says, to the letter.

The oracle knows the rules in the domain's words and shares no code with the product. `CRMGQL_EXAMPLES=20000` makes a
long run.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

from graphql import GraphQLSchema
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.access.oracle import Oracle
from tests.access.queries import Query, Writer
from tests.access.workshop import VIEWERS, Company, check

LONG_RUN = "CRMGQL_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("CRMGQL_EXAMPLES", "300"))
WALKED = 120


def written(oracle: Oracle, company: Company, schema: GraphQLSchema, dice: Random) -> Query:
    return Writer(schema, company.rows, oracle, dice).query()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not LONG_RUN,
    database=None,
    phases=(Phase.generate, Phase.shrink) if LONG_RUN else (Phase.generate,),  # to shrink takes minutes
    suppress_health_check=list(HealthCheck),
)
@given(who=st.integers(0, len(VIEWERS) - 1), seed=st.integers(0, 2**64 - 1))
async def test_random_queries_answer_as_the_rules_say(
    company: Company, schema: GraphQLSchema, oracles: list[Oracle], who: int, seed: int
) -> None:
    query = written(oracles[who], company, schema, Random(seed))
    await check(company, oracles[who], VIEWERS[who], query)


async def test_the_walk_meets_what_it_is_meant_to_meet(
    company: Company, schema: GraphQLSchema, oracles: list[Oracle]
) -> None:
    """A generator that only ever asked for nothing would pass every comparison."""
    dice = Random(5)
    answers: list[Any] = []
    texts: list[str] = []
    for number in range(WALKED):
        who = number % len(VIEWERS)
        query = written(oracles[who], company, schema, dice)
        texts.append(query.text)
        answers.append(await check(company, oracles[who], VIEWERS[who], query))
    full = [answer for answer in answers if len(answer) > 200]
    assert len(full) > WALKED // 3
    assert 0 < answers.count("FORBIDDEN") < WALKED // 4
    everything = " ".join(texts)
    for word in ("where", "some", "none", "every", "orderBy", "after", "before", "last", "sums", "totalCount", "$v"):
        assert word in everything, word
