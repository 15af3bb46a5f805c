-- ARGV: how long ago the request left, how late it may have arrived.
-- The script moves the request's time by the delay.
local request = redis.call('ZRANGEBYSCORE', sent, now - tonumber(ARGV[3]), '+inf', 'LIMIT', 0, 1)[1]
if request then
    local at = tonumber(request) + tonumber(ARGV[4])
    while redis.call('ZSCORE', sent, at) do at = at + 1 end
    redis.call('ZREM', sent, request)
    redis.call('ZADD', sent, at, at)
end
return {now}
