-- All scripts begin with this file. KEYS are the crawl and the frontier; the first ARGV is the worker that calls.
local membership, store, me = KEYS[1], KEYS[2], ARGV[1]
local function is_alive(worker) return redis.call('ZSCORE', membership .. ':alive', worker) end
local function now_ms()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function drop_expired()
    for _, worker in ipairs(redis.call('ZRANGEBYSCORE', membership .. ':alive', '-inf', now_ms())) do
        if worker ~= me then
            redis.call('ZREM', membership .. ':alive', worker)
            redis.call('HDEL', membership .. ':workers', worker)
        end
    end
end
local function pending_again(hash, id, lease)
    local _, score, slot = string.match(lease, '^(%S+) (%S+) (.*)$')
    redis.call('HDEL', store .. hash, id)
    redis.call('ZADD', store .. ':pending:' .. slot, score, id)
    redis.call('SADD', store .. ':slots', slot)
end
local function each(hash)
    local flat, i = redis.call('HGETALL', store .. hash), -1
    return function()
        i = i + 2
        return flat[i], flat[i + 1]
    end
end
local function reclaim()
    for id, lease in each(':leases') do
        if not is_alive(string.match(lease, '^%S+')) then pending_again(':leases', id, lease) end
    end
end
local function count_pending()
    local count = 0
    for _, slot in ipairs(redis.call('SMEMBERS', store .. ':slots')) do
        count = count + redis.call('ZCARD', store .. ':pending:' .. slot)
    end
    return count
end
local function count_unfinished()
    return count_pending() + redis.call('HLEN', store .. ':leases') + redis.call('HLEN', store .. ':kept')
end
local function forget()
    for _, slot in ipairs(redis.call('SMEMBERS', store .. ':slots')) do
        redis.call('UNLINK', store .. ':pending:' .. slot)
    end
    for _, name in ipairs({'seen', 'requests', 'slots', 'leases', 'kept', 'claims', 'start'}) do
        redis.call('UNLINK', store .. ':' .. name)
    end
end
