-- ARGV: length of the penalty, its reason. A penalty that ends later stays in force.
local until_ = now + tonumber(ARGV[3])
if until_ > field('blocked_until') then
    redis.call('HSET', state, 'blocked_until', until_, 'blocked_why', ARGV[4])
    keep_state()
end
return {now}
