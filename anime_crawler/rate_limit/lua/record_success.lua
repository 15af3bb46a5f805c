-- The breaker closes: the number of failures in a row is 0 again.
if field('troubles') > 0 then redis.call('HSET', state, 'troubles', 0) end
return {now}
