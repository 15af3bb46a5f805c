-- ARGV: worker, lease in ms, what it tells of itself, whether it is incomplete.
-- A worker that is late but that nobody missed goes on as if nothing had been.
redis.call('ZREM', membership .. ':alive', me)
redis.call('ZADD', membership .. ':alive', now_ms() + ARGV[2], me)
redis.call('HSET', membership .. ':workers', me, ARGV[3])
if ARGV[4] == '1' then redis.call('SET', membership .. ':troubled', 1) end
drop_expired()
return 1
