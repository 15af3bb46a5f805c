"""Figures of several workers on one crawl, each beside its baseline: ``make bench-distributed``."""
