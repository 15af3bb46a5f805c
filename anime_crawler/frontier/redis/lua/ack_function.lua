-- A request that the worker has done is forgotten; one that it has lost meanwhile is left alone.
local function ack(id)
    local lease = redis.call('HGET', store .. ':leases', id)
    if lease and string.match(lease, '^%S+') == me then
        redis.call('HDEL', store .. ':leases', id)
        redis.call('HDEL', store .. ':requests', id)
    end
end
