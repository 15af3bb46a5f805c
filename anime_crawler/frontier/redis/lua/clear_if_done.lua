-- ARGV: worker. The script removes the fingerprints if no request is left.
if count_unfinished() == 0 then forget() end
