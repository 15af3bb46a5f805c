-- ARGV: worker, lease in ms, what it tells of itself, whether it is incomplete.
-- A worker whose sign of life is late goes on, as long as no other worker has removed it.
redis.call('ZREM', membership .. ':alive', me)
redis.call('ZADD', membership .. ':alive', now_ms() + ARGV[2], me)
redis.call('HSET', membership .. ':workers', me, ARGV[3])
if ARGV[4] == '1' then redis.call('SET', membership .. ':troubled', 1) end
drop_expired()
return 1
