-- ARGV: worker. The script removes all requests and fingerprints.
forget()
