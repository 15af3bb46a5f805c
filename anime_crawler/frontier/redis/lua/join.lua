-- ARGV: worker, lease in ms, run, what the worker tells of itself. Replies HELD while workers of another run live.
drop_expired()
local others = redis.call('ZCARD', crew .. ':alive')
if others > 0 and redis.call('GET', crew .. ':run') ~= ARGV[3] then return redis.error_reply('HELD') end
if others == 0 then
    redis.call('DEL', crew .. ':troubled', crew .. ':frontiers')
    redis.call('INCR', crew .. ':session')
end
redis.call('SET', crew .. ':run', ARGV[3])
redis.call('ZADD', crew .. ':alive', now_ms() + ARGV[2], me)
redis.call('HSET', crew .. ':workers', me, ARGV[4])
