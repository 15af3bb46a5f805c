"""`backend` delivers the catalogue to the backend by its import contract, and uses the backend's words.

    outbox (catalogue) ─▶ payloads ─▶ importer ─▶ sender ─▶ client ─▶ backend
                                        │            └─ circuit_breaker, outcomes
                                        └─ receipts: intents and receipts back into the catalogue

The package `reference_backend` implements the same contract, for users who have no backend and for tests.
"""
