"""Pure cleaners of single values; no source's words, no items."""
