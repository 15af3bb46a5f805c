"""The request ledger: what is pending, what is leased, and what is done for good."""
