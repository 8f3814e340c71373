-- The books (docs/ledger.md): entries and their postings, open items, balances, chains of hashes, anchors, periods.
-- One trigger keeps what follows from an entry, whoever wrote it. Nothing is posted yet by the verbs.

CREATE EXTENSION IF NOT EXISTS btree_gist;  -- a period's company and days in one key

CREATE TABLE account_codes (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    purpose varchar(24) NOT NULL,
    code varchar(20) NOT NULL,
    name varchar(100) NOT NULL,
    name_zh varchar(100) NOT NULL,
    company_id uuid NOT NULL,
    CONSTRAINT account_codes_purpose_known CHECK (purpose IN ('RECEIVABLE', 'BANK', 'CLEARING', 'DISPUTED', 'INVENTORY', 'REVALUATION', 'EXCHANGE', 'TRANSFER', 'UNEARNED', 'CREDIT', 'DEFERRED', 'SUSPENSE', 'TAX', 'COMMISSION_PAYABLE', 'PAYROLL_PAYABLE', 'OPENING', 'RETAINED', 'REVENUE', 'SHIPPING', 'REFUNDS', 'FX_GAIN', 'FX_LOSS', 'UNREALISED_FX', 'ROUNDING', 'COST', 'FEES', 'WRITE_OFF', 'COMMISSION')),
    CONSTRAINT account_codes_purpose UNIQUE (company_id, purpose)
);
CREATE TABLE accounting_periods (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    first_on date NOT NULL,
    last_on date NOT NULL,
    days daterange GENERATED ALWAYS AS (daterange(first_on, last_on, '[]')) STORED,
    status varchar(20) NOT NULL DEFAULT 'OPEN',
    closed_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    company_id uuid NOT NULL,
    CONSTRAINT accounting_periods_closed CHECK ((closed_at IS NULL) = (status = 'OPEN')),
    CONSTRAINT accounting_periods_days CHECK (first_on <= last_on),
    CONSTRAINT accounting_periods_status CHECK (status IN ('OPEN', 'SOFT_CLOSED', 'CLOSED')),
    CONSTRAINT accounting_periods_apart UNIQUE (company_id, days WITHOUT OVERLAPS)
);
CREATE TABLE anchor_heads (
    anchor_id bigint NOT NULL,
    owner_id uuid NOT NULL,
    lane smallint NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT anchor_heads_pkey PRIMARY KEY (anchor_id, owner_id, lane)
);
CREATE TABLE anchors (
    id bigint PRIMARY KEY,
    made_at timestamptz NOT NULL DEFAULT now(),
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    heads bigint NOT NULL,
    CONSTRAINT anchors_count CHECK (id > 0 AND heads >= 0)
);
CREATE TABLE balances (
    owner_id uuid NOT NULL,
    purpose varchar(24) NOT NULL,
    currency varchar(3) NOT NULL,
    lane smallint NOT NULL,
    debit numeric NOT NULL,
    credit numeric NOT NULL,
    base numeric NOT NULL,
    pending_debit numeric NOT NULL,
    pending_credit numeric NOT NULL,
    CONSTRAINT balances_pkey PRIMARY KEY (owner_id, purpose, currency, lane)
);
CREATE TABLE books (
    company_id uuid PRIMARY KEY,
    currency varchar(3) NOT NULL,
    CONSTRAINT books_currency_known CHECK (currency_scale(currency) IS NOT NULL)
);
CREATE TABLE ledger_entries (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    company_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    kind varchar(60) NOT NULL,
    phase varchar(10) NOT NULL DEFAULT 'POSTED',
    reverses_id uuid,
    resolves_id uuid,
    key varchar(200) NOT NULL,
    request_hash varchar(64) NOT NULL,
    source_type varchar(40) NOT NULL,
    source_id uuid NOT NULL,
    effective_on date NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    is_adjusting boolean NOT NULL DEFAULT false,
    base_currency varchar(3) NOT NULL,
    size smallint NOT NULL,
    opens smallint NOT NULL DEFAULT 0,
    actor_id uuid,
    customer_id uuid,
    CONSTRAINT ledger_entries_opens CHECK (opens >= 0),
    CONSTRAINT ledger_entries_owner CHECK (owner_id = coalesce(customer_id, company_id)),
    CONSTRAINT ledger_entries_phase CHECK (phase IN ('POSTED', 'PENDING', 'VOIDED')),
    CONSTRAINT ledger_entries_plain CHECK (kind !~ '[\x01-\x1f\x7f\\]' AND key !~ '[\x01-\x1f\x7f\\]' AND source_type !~ '[\x01-\x1f\x7f\\]'),
    CONSTRAINT ledger_entries_request_hash CHECK (request_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT ledger_entries_resolves CHECK (CASE phase WHEN 'PENDING' THEN resolves_id IS NULL WHEN 'VOIDED' THEN resolves_id IS NOT NULL ELSE num_nonnulls(reverses_id, resolves_id) < 2 END),
    CONSTRAINT ledger_entries_reverses CHECK (reverses_id IS NULL OR phase = 'POSTED'),
    CONSTRAINT ledger_entries_size CHECK (size >= 0 AND (size = 0) = (phase = 'VOIDED')),
    CONSTRAINT ledger_entries_key UNIQUE (owner_id, key),
    CONSTRAINT ledger_entries_owner_id UNIQUE (owner_id, id)
);
CREATE TABLE ledger_heads (
    owner_id uuid NOT NULL,
    lane smallint NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT ledger_heads_pkey PRIMARY KEY (owner_id, lane)
);
CREATE TABLE ledger_links (
    owner_id uuid NOT NULL,
    lane smallint NOT NULL,
    seq bigint NOT NULL,
    entry_id uuid NOT NULL,
    digest bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT ledger_links_pkey PRIMARY KEY (owner_id, lane, seq),
    CONSTRAINT ledger_links_entry UNIQUE (owner_id, entry_id)
);
CREATE TABLE open_items (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL,
    purpose varchar(24) NOT NULL,
    currency varchar(3) NOT NULL,
    entry_id uuid NOT NULL,
    n smallint NOT NULL,
    opens smallint NOT NULL,
    opened_on date NOT NULL,
    due_on date,
    invoice_id uuid,
    credit_note_id uuid,
    dispute_id uuid,
    suspense_id uuid,
    debited numeric NOT NULL DEFAULT 0,
    credited numeric NOT NULL DEFAULT 0,
    debiting numeric NOT NULL DEFAULT 0,
    crediting numeric NOT NULL DEFAULT 0,
    settled numeric NOT NULL DEFAULT 0,
    base numeric NOT NULL DEFAULT 0,
    open numeric GENERATED ALWAYS AS (
        CASE WHEN purpose = 'RECEIVABLE' OR purpose = 'DISPUTED' THEN debited - credited ELSE credited - debited END) STORED,
    free numeric GENERATED ALWAYS AS (
        CASE WHEN purpose = 'RECEIVABLE' OR purpose = 'DISPUTED' THEN debited - credited - crediting ELSE credited - debited - debiting END) STORED,
    customer_id uuid,
    order_id uuid,
    payment_id uuid,
    CONSTRAINT open_items_base CHECK (open <> 0 OR base = 0),
    CONSTRAINT open_items_currency_known CHECK (currency_scale(currency) IS NOT NULL),
    CONSTRAINT open_items_n CHECK (n BETWEEN 1 AND opens),
    CONSTRAINT open_items_not_over CHECK (free >= 0),
    CONSTRAINT open_items_owner CHECK (customer_id IS NULL OR customer_id = owner_id),
    CONSTRAINT open_items_pending CHECK (debiting >= 0 AND crediting >= 0),
    CONSTRAINT open_items_purpose CHECK (purpose IN ('RECEIVABLE', 'DISPUTED', 'UNEARNED', 'CREDIT', 'SUSPENSE')),
    CONSTRAINT open_items_of_entry UNIQUE (owner_id, entry_id, n),
    CONSTRAINT open_items_parts UNIQUE (owner_id, id, purpose, currency)
);
CREATE TABLE postings (
    owner_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    n smallint NOT NULL,
    size smallint NOT NULL,
    phase varchar(10) NOT NULL,
    effective_on date NOT NULL,
    base_currency varchar(3) NOT NULL,
    debit varchar(24) NOT NULL,
    credit varchar(24) NOT NULL,
    currency varchar(3) NOT NULL,
    amount numeric NOT NULL,
    base_amount numeric NOT NULL,
    debit_item_id uuid,
    credit_item_id uuid,
    debit_due_on date,
    credit_due_on date,
    CONSTRAINT postings_amount CHECK (base_amount >= 0 AND (amount > 0 OR (amount = 0 AND base_amount > 0))),
    CONSTRAINT postings_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT postings_base_amount_scale CHECK (amount_fits(base_amount, base_currency)),
    CONSTRAINT postings_credit CHECK (credit IN ('RECEIVABLE', 'BANK', 'CLEARING', 'DISPUTED', 'INVENTORY', 'REVALUATION', 'EXCHANGE', 'TRANSFER', 'UNEARNED', 'CREDIT', 'DEFERRED', 'SUSPENSE', 'TAX', 'COMMISSION_PAYABLE', 'PAYROLL_PAYABLE', 'OPENING', 'RETAINED', 'REVENUE', 'SHIPPING', 'REFUNDS', 'FX_GAIN', 'FX_LOSS', 'UNREALISED_FX', 'ROUNDING', 'COST', 'FEES', 'WRITE_OFF', 'COMMISSION')),
    CONSTRAINT postings_credit_item CHECK ((credit IN ('RECEIVABLE', 'DISPUTED', 'UNEARNED', 'CREDIT', 'SUSPENSE')) = (credit_item_id IS NOT NULL)),
    CONSTRAINT postings_debit CHECK (debit IN ('RECEIVABLE', 'BANK', 'CLEARING', 'DISPUTED', 'INVENTORY', 'REVALUATION', 'EXCHANGE', 'TRANSFER', 'UNEARNED', 'CREDIT', 'DEFERRED', 'SUSPENSE', 'TAX', 'COMMISSION_PAYABLE', 'PAYROLL_PAYABLE', 'OPENING', 'RETAINED', 'REVENUE', 'SHIPPING', 'REFUNDS', 'FX_GAIN', 'FX_LOSS', 'UNREALISED_FX', 'ROUNDING', 'COST', 'FEES', 'WRITE_OFF', 'COMMISSION')),
    CONSTRAINT postings_debit_item CHECK ((debit IN ('RECEIVABLE', 'DISPUTED', 'UNEARNED', 'CREDIT', 'SUSPENSE')) = (debit_item_id IS NOT NULL)),
    CONSTRAINT postings_moves CHECK (debit <> credit OR coalesce(debit_item_id <> credit_item_id, false)),
    CONSTRAINT postings_n CHECK (n BETWEEN 1 AND size),
    CONSTRAINT postings_pkey PRIMARY KEY (owner_id, entry_id, n)
);
CREATE INDEX accounting_periods_created ON accounting_periods (created_at, id);
CREATE INDEX anchor_heads_lane ON anchor_heads (owner_id, lane, anchor_id);
CREATE INDEX ledger_entries_actor ON ledger_entries (actor_id, id);
CREATE INDEX ledger_entries_customer ON ledger_entries (customer_id, id);
CREATE UNIQUE INDEX ledger_entries_resolved_once ON ledger_entries (owner_id, resolves_id) WHERE resolves_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_entries_reversed_once ON ledger_entries (owner_id, reverses_id) WHERE reverses_id IS NOT NULL;
CREATE INDEX ledger_entries_source ON ledger_entries (source_id, id);
CREATE INDEX open_items_customer ON open_items (customer_id, id);
CREATE INDEX open_items_open ON open_items (owner_id, purpose, currency, due_on) WHERE open > 0;
CREATE INDEX open_items_order ON open_items (customer_id, order_id, id);
CREATE INDEX open_items_payment ON open_items (payment_id, id);
CREATE INDEX postings_credit_items ON postings (credit_item_id, entry_id) WHERE credit_item_id IS NOT NULL;
CREATE INDEX postings_debit_items ON postings (debit_item_id, entry_id) WHERE debit_item_id IS NOT NULL;
ALTER TABLE account_codes ADD CONSTRAINT account_codes_company_id_fkey FOREIGN KEY (company_id) REFERENCES companies (id);
ALTER TABLE accounting_periods ADD CONSTRAINT accounting_periods_company_id_fkey FOREIGN KEY (company_id) REFERENCES companies (id);
ALTER TABLE anchor_heads ADD CONSTRAINT anchor_heads_anchor_id_fkey FOREIGN KEY (anchor_id) REFERENCES anchors (id);
ALTER TABLE books ADD CONSTRAINT books_company_id_fkey FOREIGN KEY (company_id) REFERENCES companies (id);
ALTER TABLE ledger_entries ADD CONSTRAINT ledger_entries_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES users (id);
ALTER TABLE ledger_entries ADD CONSTRAINT ledger_entries_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE ledger_entries ADD CONSTRAINT ledger_entries_resolves_fkey FOREIGN KEY (owner_id, resolves_id) REFERENCES ledger_entries (owner_id, id);
ALTER TABLE ledger_entries ADD CONSTRAINT ledger_entries_reverses_fkey FOREIGN KEY (owner_id, reverses_id) REFERENCES ledger_entries (owner_id, id);
ALTER TABLE ledger_links ADD CONSTRAINT ledger_links_entry_fkey FOREIGN KEY (owner_id, entry_id) REFERENCES ledger_entries (owner_id, id);
ALTER TABLE open_items ADD CONSTRAINT open_items_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE open_items ADD CONSTRAINT open_items_entry FOREIGN KEY (owner_id, entry_id) REFERENCES ledger_entries (owner_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE open_items ADD CONSTRAINT open_items_order FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE open_items ADD CONSTRAINT open_items_payment FOREIGN KEY (payment_id) REFERENCES payments (id);
ALTER TABLE postings ADD CONSTRAINT postings_credit_open FOREIGN KEY (owner_id, credit_item_id, credit, currency) REFERENCES open_items (owner_id, id, purpose, currency);
ALTER TABLE postings ADD CONSTRAINT postings_debit_open FOREIGN KEY (owner_id, debit_item_id, debit, currency) REFERENCES open_items (owner_id, id, purpose, currency);
ALTER TABLE postings ADD CONSTRAINT postings_entry FOREIGN KEY (owner_id, entry_id) REFERENCES ledger_entries (owner_id, id);

ALTER TABLE ledger_heads SET (fillfactor = 50);  -- a row changes with each entry: its next version stays on the page
ALTER TABLE balances SET (fillfactor = 50);
ALTER TABLE open_items SET (fillfactor = 70);

INSERT INTO books (company_id, currency) SELECT id, default_currency FROM companies;

-- The base currency is the company's, until something is posted in it.
CREATE FUNCTION follow_currency() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO books (company_id, currency) VALUES (NEW.id, NEW.default_currency)
    ON CONFLICT (company_id) DO UPDATE SET currency = EXCLUDED.currency
    WHERE NOT EXISTS (SELECT FROM ledger_entries WHERE ledger_entries.company_id = NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER companies_books AFTER INSERT OR UPDATE OF default_currency ON companies
    FOR EACH ROW EXECUTE FUNCTION follow_currency();

-- Who posts holds this lock shared, who closes or reopens a period holds it alone: nothing is posted to days while they close.
CREATE FUNCTION periods_lock(company uuid) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT hashtextextended('accounting_periods ' || company, 0)
$$;

CREATE FUNCTION take_periods() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(periods_lock(NEW.company_id));
    RETURN NEW;
END
$$;
CREATE TRIGGER accounting_periods_take BEFORE INSERT OR UPDATE ON accounting_periods
    FOR EACH ROW EXECUTE FUNCTION take_periods();

-- A lane that nobody else is writing to. Its next entry follows its hash; an owner's first lane is 0.
CREATE FUNCTION free_lane(owner uuid) RETURNS ledger_heads LANGUAGE plpgsql AS $$
DECLARE
    head ledger_heads;
    other smallint;
BEGIN
    LOOP
        SELECT * INTO head FROM ledger_heads WHERE owner_id = owner ORDER BY lane LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            RETURN head;
        END IF;
        -- Only one may make the first lane: the others would wait for its commit. They take a lane at random.
        other := 1 + floor(random() * 32000);
        IF pg_try_advisory_xact_lock(hashtextextended('ledger_heads ' || owner, 0)) THEN
            other := CASE WHEN EXISTS (SELECT FROM ledger_heads WHERE owner_id = owner) THEN other ELSE 0 END;
        END IF;
        INSERT INTO ledger_heads (owner_id, lane, seq, hash) VALUES (owner, other, 0, '') ON CONFLICT DO NOTHING
        RETURNING * INTO head;
        IF FOUND THEN
            RETURN head;
        END IF;
    END LOOP;
END
$$;

-- Does for new entries, set by set, what follows from them: looks whether each is whole, links it into a chain, adds it to
-- balances and open items. It runs when the statement that made them ends, so it sees their postings and the items that they
-- open, and nothing can be added to them later. All plans look rows up by their keys: they are made once, and the tables grow.
CREATE FUNCTION keep_books() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET datestyle = 'ISO' SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    wrong record;
    entry record;
    head ledger_heads;
    heads ledger_heads[] := '{}';
    links ledger_links[] := '{}';
    phases text[] := '{}';  -- of the entries of links, and what they end
    ended uuid[] := '{}';
BEGIN
    PERFORM pg_advisory_xact_lock_shared(periods_lock(company_id)) FROM (SELECT DISTINCT company_id FROM made) AS companies;
    SELECT made.company_id, made.effective_on, period.status INTO wrong
    FROM made JOIN accounting_periods AS period
        ON period.company_id = made.company_id AND period.days @> made.effective_on AND period.status <> 'OPEN'
    WHERE period.status = 'CLOSED' OR NOT made.is_adjusting LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'The books are % on %; the first open day is %.', lower(replace(wrong.status, '_', ' ')),
            wrong.effective_on, (
                SELECT min(last_on + 1) FROM accounting_periods AS closed
                WHERE company_id = wrong.company_id AND status <> 'OPEN' AND last_on >= wrong.effective_on AND NOT EXISTS (
                    SELECT FROM accounting_periods AS next
                    WHERE next.company_id = closed.company_id AND next.status <> 'OPEN' AND next.days @> closed.last_on + 1))
            USING ERRCODE = 'check_violation', TABLE = 'ledger_entries', CONSTRAINT = 'ledger_entries_period';
    END IF;
    -- What was known at a time is what has an earlier id: nobody writes into the past.
    SELECT made.id INTO wrong FROM made WHERE made.id < uuidv7_at(now() - interval '1 second') OR made.recorded_at <> now() LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % is not of now', wrong.id
            USING ERRCODE = 'check_violation', TABLE = 'ledger_entries', CONSTRAINT = 'ledger_entries_recorded_at';
    END IF;
    SELECT made.id INTO wrong FROM made LEFT JOIN books USING (company_id)
    WHERE books.currency IS DISTINCT FROM made.base_currency LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % is not in the base currency of the books', wrong.id
            USING ERRCODE = 'check_violation', TABLE = 'ledger_entries', CONSTRAINT = 'ledger_entries_base_currency';
    END IF;
    SELECT made.id INTO wrong FROM made WHERE made.size <> (
        SELECT count(*) FROM postings AS p
        WHERE p.owner_id = made.owner_id AND p.entry_id = made.id AND p.size = made.size AND p.phase = made.phase
            AND p.effective_on = made.effective_on AND p.base_currency = made.base_currency
    ) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % does not have its postings: they come in the same statement', wrong.id
            USING ERRCODE = 'check_violation', TABLE = 'ledger_entries', CONSTRAINT = 'ledger_entries_whole';
    END IF;
    SELECT made.id INTO wrong FROM made WHERE made.opens <> (
        SELECT count(*) FROM open_items AS i
        WHERE i.owner_id = made.owner_id AND i.entry_id = made.id AND i.opens = made.opens AND i.opened_on = made.effective_on
            AND i.customer_id IS NOT DISTINCT FROM made.customer_id
    ) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % does not have the items that it opens: they come in the same statement, or before', wrong.id
            USING ERRCODE = 'check_violation', TABLE = 'ledger_entries', CONSTRAINT = 'ledger_entries_opened';
    END IF;
    SELECT made.id INTO wrong FROM made LEFT JOIN ledger_entries AS pending
        ON pending.owner_id = made.owner_id AND pending.id = made.resolves_id AND pending.phase = 'PENDING'
    WHERE made.resolves_id IS NOT NULL AND pending.id IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % ends one that is not pending', wrong.id
            USING ERRCODE = 'check_violation', TABLE = 'ledger_entries', CONSTRAINT = 'ledger_entries_resolves_pending';
    END IF;
    SELECT made.id INTO wrong FROM made LEFT JOIN ledger_entries AS whole
        ON whole.owner_id = made.owner_id AND whole.id = made.reverses_id AND whole.phase = 'POSTED'
            AND whole.reverses_id IS NULL AND whole.size = made.size
    WHERE made.reverses_id IS NOT NULL AND (whole.id IS NULL OR made.size <> (
        SELECT count(*) FROM postings AS was JOIN postings AS p ON p.owner_id = was.owner_id AND p.entry_id = made.id AND p.n = was.n
        WHERE was.owner_id = made.owner_id AND was.entry_id = made.reverses_id
            AND (p.debit, p.credit, p.currency, p.amount, p.base_amount) = (was.credit, was.debit, was.currency, was.amount, was.base_amount)
            AND (p.debit_item_id, p.credit_item_id) IS NOT DISTINCT FROM (was.credit_item_id, was.debit_item_id)
    )) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % is not the reversal of what it reverses', wrong.id
            USING ERRCODE = 'check_violation', TABLE = 'ledger_entries', CONSTRAINT = 'ledger_entries_reverses_whole';
    END IF;
    SELECT p.entry_id INTO wrong FROM made JOIN postings AS p ON p.owner_id = made.owner_id AND p.entry_id = made.id
    LEFT JOIN open_items AS debited ON debited.id = p.debit_item_id
    LEFT JOIN open_items AS credited ON credited.id = p.credit_item_id
    WHERE p.debit_due_on IS DISTINCT FROM debited.due_on OR p.credit_due_on IS DISTINCT FROM credited.due_on LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % has another due date than its items', wrong.entry_id
            USING ERRCODE = 'check_violation', TABLE = 'postings', CONSTRAINT = 'postings_due_on';
    END IF;

    -- The chain. What is hashed is docs/ledger.md's text; crmgql.ledger.chains makes the same.
    FOR entry IN
        SELECT made.owner_id, made.id, made.phase, made.resolves_id, sha256(convert_to(concat(
            '1', E'\t', made.id, E'\t', made.company_id, E'\t', made.owner_id, E'\t', made.kind, E'\t', made.phase, E'\t',
            coalesce(made.resolves_id::text, '\N'), E'\t', coalesce(made.reverses_id::text, '\N'), E'\t', made.key, E'\t',
            made.request_hash, E'\t', made.source_type, E'\t', made.source_id, E'\t', made.effective_on, E'\t',
            to_char(made.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), E'\t',
            coalesce(made.actor_id::text, '\N'), E'\t', made.is_adjusting, E'\t', made.base_currency, E'\t', made.size, E'\t', made.opens, E'\n',
            (SELECT string_agg(concat(
                p.n, E'\t', p.debit, E'\t', p.credit, E'\t', p.currency, E'\t', p.amount, E'\t', p.base_amount, E'\t',
                coalesce(p.debit_item_id::text, '\N'), E'\t', coalesce(p.credit_item_id::text, '\N'), E'\t',
                coalesce(p.debit_due_on::text, '\N'), E'\t', coalesce(p.credit_due_on::text, '\N'), E'\n'), '' ORDER BY p.n)
            FROM postings AS p WHERE p.owner_id = made.owner_id AND p.entry_id = made.id),
            CASE WHEN made.opens > 0 THEN (SELECT string_agg(concat(
                i.n, E'\t', i.id, E'\t', i.purpose, E'\t', i.currency, E'\t', coalesce(i.due_on::text, '\N'), E'\t',
                coalesce(i.order_id::text, '\N'), E'\t', coalesce(i.payment_id::text, '\N'), E'\t',
                coalesce(i.invoice_id::text, '\N'), E'\t', coalesce(i.credit_note_id::text, '\N'), E'\t',
                coalesce(i.dispute_id::text, '\N'), E'\t', coalesce(i.suspense_id::text, '\N'), E'\n'), '' ORDER BY i.n)
            FROM open_items AS i WHERE i.owner_id = made.owner_id AND i.entry_id = made.id) END
        ), 'UTF8')) AS digest
        FROM made ORDER BY made.owner_id, made.id
    LOOP
        IF head.owner_id IS DISTINCT FROM entry.owner_id THEN
            IF head.owner_id IS NOT NULL THEN
                heads := heads || head;
            END IF;
            head := free_lane(entry.owner_id);
        END IF;
        head.seq := head.seq + 1;
        head.hash := sha256(head.hash || entry.digest);
        links := links || ROW(head.owner_id, head.lane, head.seq, entry.id, entry.digest, head.hash)::ledger_links;
        phases := phases || entry.phase::text;
        ended := ended || entry.resolves_id;
    END LOOP;
    IF head.owner_id IS NULL THEN
        RETURN NULL;
    END IF;
    heads := heads || head;
    UPDATE ledger_heads AS kept SET seq = moved.seq, hash = moved.hash FROM unnest(heads) AS moved
    WHERE kept.owner_id = moved.owner_id AND kept.lane = moved.lane;
    INSERT INTO ledger_links SELECT * FROM unnest(links);

    -- Balances: what is posted, what is pending, and what is pending no more; in the lane's own part.
    WITH moved AS (
        SELECT p.*, link.lane, (phase_of = 'POSTED')::integer AS posted, (phase_of = 'PENDING')::integer AS pending
        FROM unnest(links, phases) AS link(owner_id, lane, seq, entry_id, digest, hash, phase_of)
        JOIN postings AS p ON p.owner_id = link.owner_id AND p.entry_id = link.entry_id
        UNION ALL
        SELECT p.*, link.lane, 0, -1
        FROM unnest(links, ended) AS link(owner_id, lane, seq, entry_id, digest, hash, ended_id)
        JOIN postings AS p ON p.owner_id = link.owner_id AND p.entry_id = ended_id
    ), sides AS (
        SELECT owner_id, lane, debit AS purpose, currency, amount * posted AS debit, 0 * amount AS credit,
            base_amount * posted AS base, amount * pending AS pending_debit, 0 * amount AS pending_credit FROM moved
        UNION ALL
        SELECT owner_id, lane, credit, currency, 0 * amount, amount * posted, -base_amount * posted, 0 * amount, amount * pending
        FROM moved
    )
    INSERT INTO balances AS kept (owner_id, purpose, currency, lane, debit, credit, base, pending_debit, pending_credit)
    SELECT owner_id, purpose, currency, lane, sum(debit), sum(credit), sum(base), sum(pending_debit), sum(pending_credit)
    FROM sides GROUP BY owner_id, purpose, currency, lane
    ON CONFLICT (owner_id, purpose, currency, lane) DO UPDATE SET
        debit = kept.debit + EXCLUDED.debit, credit = kept.credit + EXCLUDED.credit, base = kept.base + EXCLUDED.base,
        pending_debit = kept.pending_debit + EXCLUDED.pending_debit,
        pending_credit = kept.pending_credit + EXCLUDED.pending_credit;

    -- Open items, in the order of their ids: two that move the same ones wait for one another and never for each other.
    PERFORM FROM open_items WHERE id IN (
        SELECT unnest(ARRAY[p.debit_item_id, p.credit_item_id]) FROM made
        JOIN postings AS p ON p.owner_id = made.owner_id AND p.entry_id IN (made.id, made.resolves_id)
    ) ORDER BY id FOR NO KEY UPDATE;
    WITH moved AS (
        SELECT p.*, (made.phase = 'POSTED')::integer AS posted, (made.phase = 'PENDING')::integer AS pending
        FROM made JOIN postings AS p ON p.owner_id = made.owner_id AND p.entry_id = made.id
        UNION ALL
        SELECT p.*, 0, -1 FROM made JOIN postings AS p ON p.owner_id = made.owner_id AND p.entry_id = made.resolves_id
    ), sides AS (
        SELECT debit_item_id AS id, debit AS purpose, credit AS other, amount * posted AS debited, 0 * amount AS credited,
            amount * pending AS debiting, 0 * amount AS crediting, base_amount * posted AS base
        FROM moved WHERE debit_item_id IS NOT NULL
        UNION ALL
        SELECT credit_item_id, credit, debit, 0 * amount, amount * posted, 0 * amount, amount * pending, -base_amount * posted
        FROM moved WHERE credit_item_id IS NOT NULL
    )
    UPDATE open_items AS item SET debited = item.debited + moves.debited, credited = item.credited + moves.credited,
        debiting = item.debiting + moves.debiting, crediting = item.crediting + moves.crediting,
        settled = item.settled + moves.settled, base = item.base + moves.base
    FROM (
        SELECT id, sum(debited) AS debited, sum(credited) AS credited, sum(debiting) AS debiting, sum(crediting) AS crediting,
            sum(CASE WHEN purpose IN ('RECEIVABLE', 'DISPUTED') THEN base ELSE -base END) AS base,
            coalesce(sum(credited - debited) FILTER (
                WHERE purpose = 'RECEIVABLE' AND other NOT IN ('RECEIVABLE', 'REVENUE', 'DEFERRED', 'SHIPPING', 'TAX', 'REFUNDS', 'OPENING')), 0) AS settled
        FROM sides GROUP BY id
    ) AS moves WHERE item.id = moves.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER ledger_entries_keep AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION keep_books();

-- What the trigger keeps, nobody else writes: not even who owns the tables.
CREATE FUNCTION kept_by_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION '% is kept by the trigger on ledger_entries and changed by nothing else', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER ledger_heads_kept BEFORE INSERT OR UPDATE ON ledger_heads FOR EACH STATEMENT EXECUTE FUNCTION kept_by_trigger();
CREATE TRIGGER ledger_links_kept BEFORE INSERT ON ledger_links FOR EACH STATEMENT EXECUTE FUNCTION kept_by_trigger();
CREATE TRIGGER balances_kept BEFORE INSERT OR UPDATE ON balances FOR EACH STATEMENT EXECUTE FUNCTION kept_by_trigger();
CREATE TRIGGER open_items_kept BEFORE UPDATE ON open_items FOR EACH STATEMENT EXECUTE FUNCTION kept_by_trigger();
CREATE TRIGGER open_items_new BEFORE INSERT ON open_items FOR EACH ROW
    WHEN ((NEW.debited, NEW.credited, NEW.debiting, NEW.crediting, NEW.settled, NEW.base) <> (0, 0, 0, 0, 0, 0))
    EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ledger_entries_no_change BEFORE UPDATE OR DELETE ON ledger_entries FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_entries_no_truncate BEFORE TRUNCATE ON ledger_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER postings_no_change BEFORE UPDATE OR DELETE ON postings FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER postings_no_truncate BEFORE TRUNCATE ON postings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_links_no_change BEFORE UPDATE OR DELETE ON ledger_links FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_links_no_truncate BEFORE TRUNCATE ON ledger_links FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_heads_no_delete BEFORE DELETE ON ledger_heads FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_heads_no_truncate BEFORE TRUNCATE ON ledger_heads FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER balances_no_delete BEFORE DELETE ON balances FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER balances_no_truncate BEFORE TRUNCATE ON balances FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER open_items_no_delete BEFORE DELETE ON open_items FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER open_items_no_truncate BEFORE TRUNCATE ON open_items FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER anchors_no_change BEFORE UPDATE OR DELETE ON anchors FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER anchors_no_truncate BEFORE TRUNCATE ON anchors FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER anchor_heads_no_change BEFORE UPDATE OR DELETE ON anchor_heads FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER anchor_heads_no_truncate BEFORE TRUNCATE ON anchor_heads FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
