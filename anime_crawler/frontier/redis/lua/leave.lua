-- ARGV: worker, whether it is incomplete.
-- Gives: the number of other workers alive, whether any worker was incomplete, the number of requests not done.
-- The frontiers are counted because only they know of requests that a worker kept, or held when it died.
drop_expired()
redis.call('ZREM', membership .. ':alive', me)
redis.call('HDEL', membership .. ':workers', me)
if ARGV[2] == '1' then redis.call('SET', membership .. ':troubled', 1) end
local unfinished = 0
for _, frontier in ipairs(redis.call('SMEMBERS', membership .. ':frontiers')) do
    store = frontier
    unfinished = unfinished + count_unfinished()
end
return {redis.call('ZCARD', membership .. ':alive'), redis.call('EXISTS', membership .. ':troubled'), unfinished}
