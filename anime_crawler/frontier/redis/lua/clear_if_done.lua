-- ARGV: worker. Forgets the fingerprints when no request is left.
if count_unfinished() == 0 then forget() end
