-- ARGV: worker, lease in ms, run, what the worker tells of itself as JSON.
-- The worker joins the crawl. The script replies HELD while workers of another run are alive.
drop_expired()
local others = redis.call('ZCARD', membership .. ':alive')
if others > 0 and redis.call('GET', membership .. ':run') ~= ARGV[3] then return redis.error_reply('HELD') end
if others == 0 then
    redis.call('DEL', membership .. ':troubled', membership .. ':frontiers')
    redis.call('INCR', membership .. ':session')
end
redis.call('SET', membership .. ':run', ARGV[3])
redis.call('ZADD', membership .. ':alive', now_ms() + ARGV[2], me)
redis.call('HSET', membership .. ':workers', me, ARGV[4])
