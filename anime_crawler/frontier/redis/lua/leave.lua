-- ARGV: worker, whether it is incomplete. Gives: how many others live, whether any worker was incomplete, requests not done.
-- What a worker kept or was at when it died is in the frontier still, and nobody else knows of it.
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
