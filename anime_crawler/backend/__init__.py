"""The import contract, in the backend's words: what it is sent, how, and what its answers mean.

    outbox (catalogue) ─▶ payloads ─▶ importer ─▶ sender ─▶ client ─▶ backend
                                        │            └─ circuit_breaker, outcomes
                                        └─ receipts: intents and receipts back into the catalogue

``reference/`` is an own implementation of the same contract, for users who have no backend and for tests.
"""
