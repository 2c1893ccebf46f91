-- An audience is expanded in steps: at once, and later for those who still need it. Policy is data.

-- Which words a delivery carries: 0 the alert's own, 1 the short update, 2 that the warning no
-- longer covers the place. The default keeps old rows as they are.
ALTER TABLE delivery ADD COLUMN wording smallint NOT NULL DEFAULT 0
    CHECK (wording BETWEEN 0 AND 2);

-- What a batch was written for: the audience's chain, the channel and the endpoints in their order.
-- Those that are done get theirs too: they are the proof of what was sent before.
ALTER TABLE batch ADD COLUMN digest bytea;
UPDATE batch b SET digest = substring(sha256(u.chain_hash || convert_to(b.channel::text, 'UTF8')
        || coalesce((SELECT string_agg(int8send(id), '' ORDER BY place)
            FROM unnest(b.endpoint_ids) WITH ORDINALITY AS listed(id, place)), '')) FOR 16)
    FROM audience u WHERE u.alert_id = b.alert_id;
ALTER TABLE batch ADD CONSTRAINT proven
    CHECK (state = 'done' OR coalesce(octet_length(digest), 0) = 16);

CREATE TABLE audience_step (
    alert_id bigint NOT NULL REFERENCES audience,
    step smallint NOT NULL CHECK (step >= 0),
    due_at timestamptz NOT NULL,
    channels channel[] NOT NULL,
    filter text NOT NULL CHECK (filter IN ('all', 'no_push', 'not_acknowledged', 'listed')),
    -- Of a step that lists its endpoints: which they are, who is behind them (compressed sets),
    -- and the words they get. Those people take no part in the other steps.
    listed bytea,
    people bytea,
    wording smallint,
    -- Person id, of a step that lists its endpoints endpoint id: everyone up to here is expanded.
    expanded_through bigint NOT NULL DEFAULT -1,
    fence bigint NOT NULL DEFAULT 0,                -- who expands now
    lease_until timestamptz,
    expanded_at timestamptz,
    PRIMARY KEY (alert_id, step),
    CHECK ((filter = 'listed')
        = (listed IS NOT NULL AND people IS NOT NULL AND wording IS NOT NULL))
);
CREATE INDEX audience_step_open ON audience_step (due_at) WHERE expanded_at IS NULL;

INSERT INTO audience_step (alert_id, step, due_at, channels, filter, expanded_through, fence,
        lease_until, expanded_at)
    SELECT u.alert_id, 0, u.frozen_at,
        ARRAY(SELECT jsonb_array_elements_text(convert_from(s.canonical, 'UTF8')::jsonb
            -> 'content' -> 'channels'))::channel[],
        'all', u.expanded_through, u.fence, u.lease_until, u.expanded_at
    FROM audience u JOIN alert a USING (alert_id)
    JOIN alert_snapshot s ON s.alert_id = a.alert_id AND s.version = a.approved_version;

-- Of the audience itself remains when the last of its steps was expanded.
ALTER TABLE audience DROP COLUMN expanded_through, DROP COLUMN fence, DROP COLUMN lease_until;

-- Which channels, in which order, when not, how long and how dear, for each class. A change is a
-- new version; an approved alert carries the one it was approved under.
CREATE TABLE channel_policy (
    class alert_class NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    policy jsonb NOT NULL,
    saved_by integer REFERENCES official,           -- null: what the service comes with
    saved_at timestamptz NOT NULL,
    PRIMARY KEY (class, version)
);
CREATE TRIGGER policy_is_final BEFORE UPDATE OR DELETE ON channel_policy
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

INSERT INTO channel_policy (class, version, policy, saved_at) VALUES
    ('emergency', 1, '{
        "steps": [{"channels": ["push", "sms", "email"], "to": "all", "after_minutes": 0}],
        "quiet_hours": null, "sms_most_parts": 3, "sms_part_cost": 350,
        "cost_ceiling": null, "over_ceiling": "advisory"}', now()),
    ('warning', 1, '{
        "steps": [{"channels": ["push", "sms", "email"], "to": "all", "after_minutes": 0}],
        "quiet_hours": null, "sms_most_parts": 3, "sms_part_cost": 350,
        "cost_ceiling": 1500000000, "over_ceiling": "advisory"}', now()),
    ('information', 1, '{
        "steps": [{"channels": ["push", "email"], "to": "all", "after_minutes": 0},
                  {"channels": ["sms"], "to": "no_push", "after_minutes": 0}],
        "quiet_hours": {"from": "21:00", "to": "06:00"}, "sms_most_parts": 3, "sms_part_cost": 350,
        "cost_ceiling": 300000000, "over_ceiling": "blocking"}', now());
