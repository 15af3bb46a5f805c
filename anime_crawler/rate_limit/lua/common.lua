-- What all scripts share. Times are whole microseconds.
-- ARGV of every script: what the caller was told last, and how long ago by a clock that nobody sets.
local CLOCK_KEPT_MS = 32 * 86400000  -- longer than the longest window anybody has, a month's
local STATE_KEPT_MS = 86400000  -- a row of failures that nobody added to for a day says nothing any more
local clock_key, sent, line, due, state = unpack(KEYS)
local time = redis.call('TIME')
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
redis.call('PEXPIRE', clock_key, CLOCK_KEPT_MS)

local function after(moment) return '(' .. string.format('%.0f', moment) end
local function field(name) return tonumber(redis.call('HGET', state, name)) or 0 end
local function keep_state()
    local ahead = math.max(field('blocked_until'), field('probe_at'), field('remembered_until'), now) - now
    redis.call('PEXPIRE', state, math.floor(ahead / 1000) + STATE_KEPT_MS)
end
