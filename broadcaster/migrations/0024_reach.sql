-- How far alerts got over time and by commune, and what was foretold when they were approved.

-- A few hundred points an alert, thinner as it grows older: cumulative, by channel.
CREATE TABLE reach_point (
    alert_id bigint NOT NULL REFERENCES alert,
    channel channel NOT NULL,
    at timestamptz NOT NULL,
    messages integer NOT NULL,                      -- written so far
    handed_off integer NOT NULL,                    -- taken by a carrier, confirmed ones too
    confirmed integer NOT NULL,                     -- by the phone, opened ones too
    pending integer NOT NULL,
    PRIMARY KEY (alert_id, channel, at)
);
-- The clock asks twice a second which alerts began lately.
CREATE INDEX alert_started ON alert (started_at) WHERE started_at IS NOT NULL;

-- Deliveries by commune, channel and state, counted in pieces now and then. One row an alert, so
-- that counting again leaves one dead row and not thousands.
CREATE TABLE commune_tally (
    alert_id bigint PRIMARY KEY REFERENCES alert,
    counted_at timestamptz NOT NULL,                -- when the count began
    took real NOT NULL,                             -- seconds
    moved jsonb NOT NULL,                           -- the counts by channel it was begun for
    -- {channel: {unit id: [pending, handed_off, confirmed, seen, failed, expired, stopped, unknown]}}
    communes jsonb NOT NULL
);

-- Not part of what is approved: it says what the carriers and queues promised at that moment.
CREATE TABLE alert_forecast (
    alert_id bigint NOT NULL REFERENCES alert,
    version integer NOT NULL,
    made_at timestamptz NOT NULL,
    forecast jsonb NOT NULL,
    PRIMARY KEY (alert_id, version)
);
CREATE TRIGGER forecast_is_final BEFORE UPDATE OR DELETE ON alert_forecast
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
