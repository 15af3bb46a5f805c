"""Speed, memory and request counts, each printed beside its baseline: `make bench`. Never asserted in the suite."""
