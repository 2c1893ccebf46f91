-- Several providers a channel: their weights, the switch, the breaker, link tests, health.

ALTER TABLE provider
    ADD COLUMN weight smallint NOT NULL DEFAULT 100 CHECK (weight >= 0),
    -- What the settings say of it, for people to read: rules, ramp-up, test. Never a secret.
    ADD COLUMN setup jsonb NOT NULL DEFAULT '{}',
    -- Renewed by every sender that has it in its settings: one nobody has any more is not shown.
    ADD COLUMN configured_at timestamptz,
    ADD COLUMN switch text NOT NULL DEFAULT 'auto' CHECK (switch IN ('on', 'auto', 'off')),
    ADD COLUMN switch_reason text,
    ADD COLUMN switch_by integer REFERENCES official (official_id),
    ADD COLUMN switch_at timestamptz,
    ADD COLUMN breaker text NOT NULL DEFAULT 'closed'
        CHECK (breaker IN ('closed', 'open', 'half_open')),
    -- Why, as a code and its figures: the page has the words, in both languages.
    ADD COLUMN breaker_detail jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN breaker_since timestamptz,
    -- How often it opened without having closed in between: each time it stays open longer.
    ADD COLUMN breaker_opened smallint NOT NULL DEFAULT 0,
    ADD COLUMN next_try timestamptz,
    -- One worker tests a link at a time: who takes this lease does.
    ADD COLUMN test_lease_until timestamptz,
    ADD COLUMN tested_at timestamptz,
    ADD COLUMN test_good boolean,
    ADD COLUMN test_reason text,
    ADD COLUMN test_seconds real,
    -- Tests in a row that passed since the breaker last moved.
    ADD COLUMN good_tests smallint NOT NULL DEFAULT 0;

-- What the workers saw of each account, a second a row, kept for minutes. Lost with a crash of
-- the server, which costs a breaker its sight for a moment.
CREATE UNLOGGED TABLE provider_health (
    provider_id smallint NOT NULL REFERENCES provider,
    slot timestamptz NOT NULL,
    worker text NOT NULL,
    tried integer NOT NULL DEFAULT 0,
    faults integer NOT NULL DEFAULT 0,
    throttled integer NOT NULL DEFAULT 0,
    seconds double precision NOT NULL DEFAULT 0, -- sum over those tried
    reason text,                                 -- of the last fault
    PRIMARY KEY (provider_id, slot, worker)
);

-- Every move of a breaker, the switch and a link test that turned, for people to read.
CREATE TABLE provider_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_id smallint NOT NULL REFERENCES provider,
    at timestamptz NOT NULL,
    what text NOT NULL CHECK (what IN ('breaker', 'switch', 'test')),
    was text NOT NULL,
    now text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX provider_event_recent ON provider_event (provider_id, event_id DESC);

ALTER TABLE worker
    -- What this worker reports of each limit, for people to read: {provider_id: {...}}.
    ADD COLUMN limits jsonb NOT NULL DEFAULT '{}';
