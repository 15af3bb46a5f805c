-- ARGV: worker. Gives: requests that are pending, leased by it, leased by others, kept.
local mine, others = 0, 0
for _, lease in each(':leases') do
    if string.match(lease, '^%S+') == me then mine = mine + 1 else others = others + 1 end
end
return {count_pending(), mine, others, redis.call('HLEN', store .. ':kept')}
