-- ARGV: worker, fingerprint or nothing, slot, -priority, request. Gives: 1 if the request is new, else 0.
if ARGV[2] ~= '' and redis.call('SADD', store .. ':seen', ARGV[2]) == 0 then return 0 end
local id = string.format('%012x', redis.call('INCR', store .. ':last_id'))
redis.call('HSET', store .. ':requests', id, ARGV[5])
redis.call('ZADD', store .. ':pending:' .. ARGV[3], ARGV[4], id)
redis.call('SADD', store .. ':slots', ARGV[3])
return 1
