-- All scripts begin with this file. Times are whole microseconds.
-- The first two ARGV of every script are the time that the last script told the caller, and how long ago that was by the
-- caller's steady clock.
local CLOCK_KEPT_MS = 32 * 86400000  -- 32 days, longer than the longest window, which is a month
local STATE_KEPT_MS = 86400000  -- a day; a row of failures that did not grow for a day says nothing any more
local clock_key, sent, line, due, state = unpack(KEYS)
local time = redis.call('TIME')
local clock = redis.call('HMGET', clock_key, 'offset', 'latest', 'lost')
local offset, latest = tonumber(clock[1]) or 0, tonumber(clock[2]) or 0
local lost = tonumber(clock[3])
local machine = time[1] * 1000000 + time[2]
local now = machine + offset

-- If more time went by here than on the caller's steady clock, then Redis' clock was set forward, or this call was
-- under way for longer than the last one. The scripts then take the caller's time and 50 ms more; a slow call loses the rest
-- of its time once.
local seen, since = tonumber(ARGV[1]), tonumber(ARGV[2])
if seen > 0 then now = math.min(now, seen + since + 50000) end
-- If Redis' clock was set back, the scripts assume that no time has passed. No time is given twice, so that a time can
-- be the member of a sorted set.
now = math.max(now, latest + 1, seen + 1)
-- If the caller was told a later time than Redis remembers, then Redis has lost data, and with it the requests sent
-- since.
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
