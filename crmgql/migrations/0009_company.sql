-- The company, which says when a day begins. There is one row; what is a company's own will carry company_id.

CREATE TABLE companies (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(200) NOT NULL,
    timezone varchar(60) NOT NULL DEFAULT 'UTC',
    first_day_of_week integer NOT NULL DEFAULT 1,
    fiscal_year_start_month integer NOT NULL DEFAULT 1,
    fiscal_year_start_day integer NOT NULL DEFAULT 1,
    default_currency varchar(3) NOT NULL DEFAULT 'USD',
    locale varchar(35) NOT NULL DEFAULT 'en-US',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    CONSTRAINT companies_first_day_of_week CHECK (first_day_of_week BETWEEN 1 AND 7),
    CONSTRAINT companies_fiscal_year_start_month CHECK (fiscal_year_start_month BETWEEN 1 AND 12),
    CONSTRAINT companies_fiscal_year_start_day CHECK (fiscal_year_start_day BETWEEN 1 AND
        CASE WHEN fiscal_year_start_month = 2 THEN 28 WHEN fiscal_year_start_month IN (4, 6, 9, 11) THEN 30 ELSE 31 END),
    CONSTRAINT companies_default_currency_known CHECK (currency_scale(default_currency) IS NOT NULL)
);
CREATE UNIQUE INDEX companies_origin ON companies (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX companies_only_one ON companies ((true));
CREATE INDEX companies_created ON companies (created_at, id);

INSERT INTO companies (name) VALUES ('Our company');

-- A day, written without a time, begins when the company's day begins.
CREATE OR REPLACE FUNCTION place_opportunity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.stage_id IS NULL THEN
        SELECT stages.id INTO NEW.stage_id FROM stages JOIN pipelines ON pipelines.id = stages.pipeline_id
        WHERE stages.status = 'OPEN' AND stages.archived_at IS NULL
            AND CASE WHEN NEW.pipeline_id IS NULL THEN pipelines.is_default ELSE pipelines.id = NEW.pipeline_id END
        ORDER BY stages.position LIMIT 1;
    END IF;
    SELECT pipeline_id, status INTO NEW.pipeline_id, NEW.status FROM stages WHERE id = NEW.stage_id;
    NEW.stage_since := coalesce(
        NEW.stage_since,
        coalesce(NEW.closed_on, NEW.engaged_on)::timestamp
            AT TIME ZONE coalesce((SELECT timezone FROM companies), 'UTC'),
        NEW.created_at
    );
    RETURN NEW;
END
$$;
