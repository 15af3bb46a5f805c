"""Each of these Lua scripts is one step in Redis: no other client ever sees half of it.

Keys of a crawl, ``<crew>`` = ``anime_crawler:crawl:<main spider>``:

    <crew>:run       the run that its workers work at
    <crew>:alive     sorted set: worker -> until when it is taken for alive, milliseconds of Redis' own clock
    <crew>:workers   hash: worker -> JSON that it tells of itself
    <crew>:session   number; grows when the first worker comes after all others are gone
    <crew>:troubled  set when a worker of the session did not get all that it asked its upstream for
    <crew>:frontiers set of the keys of the frontiers that workers of the session have opened

Keys of a frontier, ``<store>`` = ``anime_crawler:frontier:<spider>``:

    <store>:run               run and address that the requests are of
    <store>:session           the crew's session for which the store was put in order
    <store>:start             who makes the first requests, or ``done``
    <store>:seen              set of fingerprints, 20 bytes each
    <store>:requests          hash: id -> request as JSON
    <store>:slots             set of slots that have pending requests
    <store>:pending:<slot>    sorted set: id by -priority, then by age
    <store>:leases            hash: id -> "worker -priority slot"
    <store>:kept              hash: id -> "- -priority slot"; given up in this session, pending in the next
    <store>:refused           hash: id -> what stood where a request should be
    <store>:claims            hash: anime id -> worker that asks for it

Scripts begin their writing with something that frees memory where they can, because Redis refuses only the first
writing command of a script when its memory is full: requests can be leased, acked and renewed then, but not added.
"""

from __future__ import annotations

_COMMON = """
    local crew, store, me = KEYS[1], KEYS[2], ARGV[1]
    local function is_alive(worker) return redis.call('ZSCORE', crew .. ':alive', worker) end
    local function now_ms()
        local time = redis.call('TIME')
        return time[1] * 1000 + math.floor(time[2] / 1000)
    end
    local function drop_expired()
        for _, worker in ipairs(redis.call('ZRANGEBYSCORE', crew .. ':alive', '-inf', now_ms())) do
            if worker ~= me then
                redis.call('ZREM', crew .. ':alive', worker)
                redis.call('HDEL', crew .. ':workers', worker)
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
"""
_MEMBERS_ONLY = "if not is_alive(me) then return redis.error_reply('LOST') end\n"

# --- the crew -----------------------------------------------------------------------------------------

JOIN = _COMMON + (  # worker, lease in ms, run, what it tells of itself
    """
    drop_expired()
    local others = redis.call('ZCARD', crew .. ':alive')
    if others > 0 and redis.call('GET', crew .. ':run') ~= ARGV[3] then return redis.error_reply('HELD') end
    if others == 0 then
        redis.call('DEL', crew .. ':troubled', crew .. ':frontiers')
        redis.call('INCR', crew .. ':session')
    end
    redis.call('SET', crew .. ':run', ARGV[3])
    redis.call('ZADD', crew .. ':alive', now_ms() + ARGV[2], me)
    redis.call('HSET', crew .. ':workers', me, ARGV[4])
"""
)

# A worker that is late but that nobody missed goes on as if nothing had been.
RENEW = (
    _COMMON
    + _MEMBERS_ONLY
    + (  # worker, lease in ms, what it tells of itself, is it troubled
        """
    redis.call('ZREM', crew .. ':alive', me)
    redis.call('ZADD', crew .. ':alive', now_ms() + ARGV[2], me)
    redis.call('HSET', crew .. ':workers', me, ARGV[3])
    if ARGV[4] == '1' then redis.call('SET', crew .. ':troubled', 1) end
    drop_expired()
    return 1
"""
    )
)

# What a worker kept or was at when it died is in the frontier still, and nobody else knows of it.
LEAVE = _COMMON + (  # worker, is it troubled -> number of the others, is anybody troubled, requests that are not done
    """
    drop_expired()
    redis.call('ZREM', crew .. ':alive', me)
    redis.call('HDEL', crew .. ':workers', me)
    if ARGV[2] == '1' then redis.call('SET', crew .. ':troubled', 1) end
    local unfinished = 0
    for _, frontier in ipairs(redis.call('SMEMBERS', crew .. ':frontiers')) do
        store = frontier
        unfinished = unfinished + count_unfinished()
    end
    return {redis.call('ZCARD', crew .. ':alive'), redis.call('EXISTS', crew .. ':troubled'), unfinished}
"""
)

OTHERS = _COMMON + "drop_expired() return redis.call('ZCARD', crew .. ':alive')"

# --- a frontier ---------------------------------------------------------------------------------------

OPEN = (
    _COMMON
    + _MEMBERS_ONLY
    + (  # worker, run and address -> pending
        """
    local session = redis.call('GET', crew .. ':session')
    redis.call('SADD', crew .. ':frontiers', store)
    local is_first = redis.call('GET', store .. ':session') ~= session
    if redis.call('GET', store .. ':run') ~= ARGV[2] then
        if not is_first then return redis.error_reply('HELD') end
        forget()
        redis.call('SET', store .. ':run', ARGV[2])
    end
    reclaim()
    if is_first then
        redis.call('SET', store .. ':session', session)
        for id, lease in each(':kept') do pending_again(':kept', id, lease) end
        if count_pending() == 0 then forget() end
    end
    return count_pending()
"""
    )
)

ELECT = (
    _COMMON
    + _MEMBERS_ONLY
    + (  # worker -> start, wait or done
        """
    local starter = redis.call('GET', store .. ':start')
    if starter == 'done' then return 'done' end
    if starter and starter ~= me and is_alive(starter) then return 'wait' end
    redis.call('SET', store .. ':start', me)
    return 'start'
"""
    )
)

STARTED = _COMMON + _MEMBERS_ONLY + "redis.call('SET', store .. ':start', 'done')"

PUSH = (
    _COMMON
    + _MEMBERS_ONLY
    + (  # worker, fingerprint or nothing, slot, -priority, request -> is it new
        """
    if ARGV[2] ~= '' and redis.call('SADD', store .. ':seen', ARGV[2]) == 0 then return 0 end
    local id = string.format('%012x', redis.call('INCR', store .. ':last_id'))
    redis.call('HSET', store .. ':requests', id, ARGV[5])
    redis.call('ZADD', store .. ':pending:' .. ARGV[3], ARGV[4], id)
    redis.call('SADD', store .. ':slots', ARGV[3])
    return 1
"""
    )
)

_OWNERS_ONLY = (
    _MEMBERS_ONLY
    + """
    local lease = redis.call('HGET', store .. ':leases', ARGV[2])
    if not lease or string.match(lease, '^%S+') ~= me then return 0 end
    redis.call('HDEL', store .. ':leases', ARGV[2])
"""
)

_ACK = """
    local function ack(id)
        local lease = redis.call('HGET', store .. ':leases', id)
        if lease and string.match(lease, '^%S+') == me then
            redis.call('HDEL', store .. ':leases', id)
            redis.call('HDEL', store .. ':requests', id)
        end
    end
"""
ACK = _COMMON + _MEMBERS_ONLY + _ACK + "for i = 2, #ARGV do ack(ARGV[i]) end"  # worker, ids

POP = (
    _COMMON
    + _MEMBERS_ONLY
    + _ACK
    + (  # worker, how many are acked, their ids, then slot and its transfers, … -> id and request, or nothing
        """
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
"""
    )
)

KEEP = (
    _COMMON
    + _OWNERS_ONLY
    + (  # worker, id
        "redis.call('HSET', store .. ':kept', ARGV[2], '-' .. string.sub(lease, #me + 1))"
    )
)

REFUSE = (
    _COMMON
    + _OWNERS_ONLY
    + (  # worker, id
        """
    redis.call('HSET', store .. ':refused', ARGV[2], redis.call('HGET', store .. ':requests', ARGV[2]) or '')
    redis.call('HDEL', store .. ':requests', ARGV[2])
"""
    )
)

# What a worker had leased in a call whose answer was lost is not known to it.
RECLAIM = (
    _COMMON
    + _MEMBERS_ONLY
    + (  # worker, then the ids that it holds
        """
    reclaim()
    local holds = {}
    for i = 2, #ARGV do holds[ARGV[i]] = true end
    for id, lease in each(':leases') do
        if string.match(lease, '^%S+') == me and not holds[id] then pending_again(':leases', id, lease) end
    end
"""
    )
)

COUNT = _COMMON + (  # worker -> pending, leased by it, leased by others, kept
    """
    local mine, others = 0, 0
    for _, lease in each(':leases') do
        if string.match(lease, '^%S+') == me then mine = mine + 1 else others = others + 1 end
    end
    return {count_pending(), mine, others, redis.call('HLEN', store .. ':kept')}
"""
)

CLEAR = _COMMON + _MEMBERS_ONLY + "forget()"

CLEAR_IF_DONE = (
    _COMMON
    + _MEMBERS_ONLY
    + (
        """
    if count_unfinished() == 0 then forget() end
"""
    )
)

CLAIM = (
    _COMMON
    + _MEMBERS_ONLY
    + (  # worker, then ids -> those that are its own now
        """
    local granted = {}
    for i = 2, #ARGV do
        local owner = redis.call('HGET', store .. ':claims', ARGV[i])
        if not owner or owner == me or not is_alive(owner) then
            redis.call('HSET', store .. ':claims', ARGV[i], me)
            table.insert(granted, ARGV[i])
        end
    end
    return granted
"""
    )
)

GIVE_BACK = (
    _COMMON
    + _MEMBERS_ONLY
    + (  # worker, then ids
        """
    for i = 2, #ARGV do
        if redis.call('HGET', store .. ':claims', ARGV[i]) == me then
            redis.call('HDEL', store .. ':claims', ARGV[i])
        end
    end
"""
    )
)

CLAIMED = (
    _COMMON
    + _MEMBERS_ONLY
    + (  # worker -> what the others ask for
        """
    local found = {}
    for id, owner in each(':claims') do
        if owner ~= me and is_alive(owner) then table.insert(found, id) end
    end
    return found
"""
    )
)
