-- Who registered and never proved an address is no one yet: not counted, and forgotten in a day.
-- These are the claims that were not answered, by whom they were made.
CREATE INDEX endpoint_claim_open ON endpoint_claim (person_id) WHERE used_at IS NULL;

-- Those who are here already are taken out of the index.
INSERT INTO person_change (person_ids)
    SELECT array_agg(DISTINCT person_id) FROM endpoint_claim c WHERE used_at IS NULL
        AND NOT EXISTS (SELECT FROM person_endpoint l WHERE l.person_id = c.person_id)
    HAVING count(*) > 0;
