"""From an approved alert to every endpoint: audience, deliveries, batches, outcomes, receipts."""
