-- ARGV: ticket, how long a place is kept, number of failures that opens the breaker, its longest rest, how long
-- requests are to be remembered, then count and length of each window.
-- Gives: now, microseconds to wait, cause, and the number of the window or the reason as a text.
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

-- Count the tickets ahead of this one. A ticket that was not asked for again in time has lost its place.
for _, absent in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now)) do
    redis.call('ZREM', line, absent)
    redis.call('ZREM', due, absent)
end
local ahead = redis.call('ZRANK', line, ticket) or redis.call('ZCARD', line)

-- free_at gives the time at which a window has room for the ticket and for all tickets ahead of it. If more tickets are
-- ahead than the window takes, the ticket waits for whole windows.
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

local failures, probe_at = field('troubles'), field('probe_at')
if failures >= threshold then
    if probe_at > now then return told(probe_at, 'breaker', tostring(failures)) end
    -- This request is the probe. If it fails, or its process dies, the next probe may go after twice the rest.
    local rest = math.min(2 * field('rest'), longest_rest)
    redis.call('HSET', state, 'rest', rest, 'probe_at', now + rest)
    keep_state()
end
redis.call('ZREM', line, ticket)
redis.call('ZREM', due, ticket)
-- The longest window of all processes that share the budget decides which requests are forgotten. It counts for as long
-- as it lasts after its process was here.
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
