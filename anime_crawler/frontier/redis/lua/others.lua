-- ARGV: worker. Gives: how many others live.
drop_expired() return redis.call('ZCARD', membership .. ':alive')
