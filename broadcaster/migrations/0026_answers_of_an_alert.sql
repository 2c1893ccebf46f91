-- What people answered to one alert: its page asks as long as somebody looks at it.
CREATE INDEX incident_alert ON incident (alert_id, updated_at) WHERE alert_id IS NOT NULL;
