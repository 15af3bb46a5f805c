-- ARGV: worker, how many requests are done, their ids, then each slot with its transfers.
-- Gives: id and request, or nothing.
local others = 3 + ARGV[2]
for i = 3, others - 1 do ack(ARGV[i]) end
local busy, best, least, score = {}, nil, nil, nil
for i = others, #ARGV, 2 do busy[ARGV[i]] = tonumber(ARGV[i + 1]) end
for _, slot in ipairs(redis.call('SMEMBERS', store .. ':slots')) do
    local active = busy[slot] or 0
    if redis.call('EXISTS', store .. ':pending:' .. slot) == 0 then
        redis.call('SREM', store .. ':slots', slot)
    elseif not least or active < least then
        best, least = slot, active
    end
end
if not best then return false end
local first = redis.call('ZRANGE', store .. ':pending:' .. best, 0, 0, 'WITHSCORES')
redis.call('ZREM', store .. ':pending:' .. best, first[1])
redis.call('HSET', store .. ':leases', first[1], me .. ' ' .. first[2] .. ' ' .. best)
return {first[1], redis.call('HGET', store .. ':requests', first[1]) or ''}
