if field('troubles') > 0 then redis.call('HSET', state, 'troubles', 0) end
return {now}
