-- ARGV: number of failures that opens the breaker, length of its first rest.
local rest = tonumber(ARGV[4])
if redis.call('HINCRBY', state, 'troubles', 1) == tonumber(ARGV[3]) then
    redis.call('HSET', state, 'rest', rest, 'probe_at', now + rest)
end
keep_state()
return {now}
