"""The Redis form of the budgets as Lua: each script is one step that nothing comes between.

Times are whole microseconds. Every script gets the same keys and the same first two arguments.
"""

from __future__ import annotations

PREFIX = "anime_crawler:budget:"
PARTS = ("sent", "line", "due", "state")
"""Of one upstream: when requests were sent; who waits, by arrival; until when each is waited for; penalty, breaker."""

CLOCK = "redis.call('TIME')"
CLOCK_KEPT_MS = 32 * 86_400_000  # longer than the longest window anybody has: a month's
STATE_KEPT_MS = 86_400_000  # a row of failures that nobody added to for a day says nothing any more

PRELUDE = f"""
    local clock_key, sent, line, due, state = unpack(KEYS)
    local time = {CLOCK}
    local clock = redis.call('HMGET', clock_key, 'offset', 'latest', 'lost')
    local offset, latest = tonumber(clock[1]) or 0, tonumber(clock[2]) or 0
    local lost = tonumber(clock[3])
    local machine = time[1] * 1000000 + time[2]
    local now = machine + offset

    -- What the caller was told last, and how long ago by a clock that nobody sets. More went by here: Redis' clock was
    -- set forward, or this call was under way for longer than that one, which costs that much time once.
    local seen, since = tonumber(ARGV[1]), tonumber(ARGV[2])
    if seen > 0 then now = math.min(now, seen + since + 50000) end
    -- Set back: no time has passed as far as we know. Never the same time twice, so that a time can be a member.
    now = math.max(now, latest + 1, seen + 1)
    -- Told later than anything we remember: Redis has lost what it knew, and what was sent since.
    if seen > latest then lost = now end
    redis.call('HSET', clock_key, 'offset', now - machine, 'latest', now)
    if lost then redis.call('HSET', clock_key, 'lost', lost) end
    redis.call('PEXPIRE', clock_key, {CLOCK_KEPT_MS})

    local function after(moment) return '(' .. string.format('%.0f', moment) end
    local function field(name) return tonumber(redis.call('HGET', state, name)) or 0 end
    local function keep_state()
        local ahead = math.max(field('blocked_until'), field('probe_at'), field('remembered_until'), now) - now
        redis.call('PEXPIRE', state, math.floor(ahead / 1000) + {STATE_KEPT_MS})
    end
"""

RESERVE = (
    PRELUDE
    + """
    -- ARGV: ticket, how long a place is kept, failures that open the breaker, its longest rest, how long requests are
    -- to be remembered, then count and length of each window. Gives: now, microseconds to wait, cause, number of the
    -- window or a text.
    local ticket, kept, threshold, longest_rest = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
    local remembered = tonumber(ARGV[7])
    local first, last = 8, #ARGV

    local function told(at, cause, why)
        if first < last then
            redis.call('ZADD', line, 'NX', now, ticket)
            redis.call('ZADD', due, now + kept, ticket)
            for _, key in ipairs({line, due}) do redis.call('PEXPIRE', key, math.ceil(kept / 1000)) end
        end
        return {now, at - now, cause, why}
    end

    -- Those ahead of the ticket; who has not asked again in time has lost the place.
    for _, absent in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now)) do
        redis.call('ZREM', line, absent)
        redis.call('ZREM', due, absent)
    end
    local ahead = redis.call('ZRANK', line, ticket) or redis.call('ZCARD', line)

    -- When a window has room for the ticket and all ahead of it. More of them than it takes wait for whole windows.
    local function free_at(count, length)
        local rounds, place = math.floor(ahead / count), ahead % count
        local from = after(now - length)
        local used = redis.call('ZCOUNT', sent, from, '+inf')
        local at = 0
        if used + place >= count then
            local leaves = redis.call('ZRANGEBYSCORE', sent, from, '+inf', 'LIMIT', used + place - count, 1)
            at = tonumber(leaves[1]) + length
        end
        if lost then at = math.max(at, lost + length) end
        if rounds > 0 then at = math.max(at, now) + rounds * length end
        return at
    end

    local blocked_until = field('blocked_until')
    if blocked_until > now then return told(blocked_until, 'penalty', redis.call('HGET', state, 'blocked_why')) end

    local full_until, full = 0, 0
    for i = first, last, 2 do
        local at = free_at(tonumber(ARGV[i]), tonumber(ARGV[i + 1]))
        if at > full_until then full_until, full = at, (i - first) / 2 end
    end
    if full_until > now then return told(full_until, 'limit', tostring(full)) end

    local troubles, probe_at = field('troubles'), field('probe_at')
    if troubles >= threshold then
        if probe_at > now then return told(probe_at, 'breaker', tostring(troubles)) end
        -- This one is the probe. If it fails, or its process dies, the next may go after twice the rest.
        local rest = math.min(2 * field('rest'), longest_rest)
        redis.call('HSET', state, 'rest', rest, 'probe_at', now + rest)
        keep_state()
    end
    redis.call('ZREM', line, ticket)
    redis.call('ZREM', due, ticket)
    -- Who has had the longest window of all who share this decides what is forgotten, for as long as that window.
    if field('remembered') > remembered and field('remembered_until') > now then
        remembered = field('remembered')
    elseif remembered > 0 then
        redis.call('HSET', state, 'remembered', remembered, 'remembered_until', now + remembered)
        keep_state()
    end
    if remembered > 0 then
        redis.call('ZREMRANGEBYSCORE', sent, '-inf', now - remembered)
        redis.call('ZADD', sent, now, now)
        redis.call('PEXPIRE', sent, math.ceil(remembered / 1000))
    end
    return {now, 0, '', ''}
"""
)

LATE = (
    PRELUDE
    + """
    -- ARGV: how long ago the request was let go, how late it may have arrived
    local request = redis.call('ZRANGEBYSCORE', sent, now - tonumber(ARGV[3]), '+inf', 'LIMIT', 0, 1)[1]
    if request then
        local at = tonumber(request) + tonumber(ARGV[4])
        while redis.call('ZSCORE', sent, at) do at = at + 1 end
        redis.call('ZREM', sent, request)
        redis.call('ZADD', sent, at, at)
    end
    return {now}
"""
)

PENALIZE = (
    PRELUDE
    + """
    -- ARGV: for how long, why
    local until_ = now + tonumber(ARGV[3])
    if until_ > field('blocked_until') then
        redis.call('HSET', state, 'blocked_until', until_, 'blocked_why', ARGV[4])
        keep_state()
    end
    return {now}
"""
)

TROUBLED = (
    PRELUDE
    + """
    -- ARGV: failures that open the breaker, its first rest
    local rest = tonumber(ARGV[4])
    if redis.call('HINCRBY', state, 'troubles', 1) == tonumber(ARGV[3]) then
        redis.call('HSET', state, 'rest', rest, 'probe_at', now + rest)
    end
    keep_state()
    return {now}
"""
)

WELL = (
    PRELUDE
    + """
    if field('troubles') > 0 then redis.call('HSET', state, 'troubles', 0) end
    return {now}
"""
)

LOOK = (
    PRELUDE
    + """
    -- ARGV: the windows' lengths. Gives: now, microseconds of the penalty left, why, then requests in each window.
    local answer = {now, math.max(0, field('blocked_until') - now), redis.call('HGET', state, 'blocked_why') or ''}
    for i = 3, #ARGV do
        table.insert(answer, redis.call('ZCOUNT', sent, after(now - tonumber(ARGV[i])), '+inf'))
    end
    return answer
"""
)

FULL = (
    PRELUDE
    + """
    -- ARGV: count and length of each window. Gives: now, microseconds until all have room, cause, the last.
    local full_until, full = 0, 0
    for i = 3, #ARGV, 2 do
        local oldest = tonumber(ARGV[i]) - 1
        local length = tonumber(ARGV[i + 1])
        local leaves = redis.call('ZREVRANGE', sent, oldest, oldest)
        local at = (tonumber(leaves[1]) or -length) + length
        if lost then at = math.max(at, lost + length) end
        if at > full_until then full_until, full = at, (i - 3) / 2 end
    end
    return {now, math.max(0, full_until - now), 'limit', tostring(full)}
"""
)
