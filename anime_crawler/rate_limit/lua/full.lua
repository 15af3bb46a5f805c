-- ARGV: count and length of each window.
-- Gives: now, microseconds until all windows have room, the cause, the number of the window that takes longest.
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
