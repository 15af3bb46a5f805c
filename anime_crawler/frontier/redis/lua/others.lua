-- ARGV: worker. Gives: the number of other workers that are alive.
drop_expired() return redis.call('ZCARD', membership .. ':alive')
