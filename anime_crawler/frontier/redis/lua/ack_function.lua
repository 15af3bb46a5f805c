-- ack removes a request that the worker has done; it leaves a request alone that the worker has lost meanwhile.
local function ack(id)
    local lease = redis.call('HGET', store .. ':leases', id)
    if lease and string.match(lease, '^%S+') == me then
        redis.call('HDEL', store .. ':leases', id)
        redis.call('HDEL', store .. ':requests', id)
    end
end
