"""The frontier keeps the requests of a run: those that are pending, those that are leased, and those that are done."""
