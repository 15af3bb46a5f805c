-- ARGV: length of each window.
-- Gives: now, microseconds that the penalty still lasts, its reason, then the number of requests in each window.
local answer = {now, math.max(0, field('blocked_until') - now), redis.call('HGET', state, 'blocked_why') or ''}
for i = 3, #ARGV do
    table.insert(answer, redis.call('ZCOUNT', sent, after(now - tonumber(ARGV[i])), '+inf'))
end
return answer
