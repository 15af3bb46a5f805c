-- ARGV: worker, then the ids that it holds. Requests of dead workers become pending again, and so do requests that
-- the worker leased in a call whose answer was lost.
reclaim()
local holds = {}
for i = 2, #ARGV do holds[ARGV[i]] = true end
for id, lease in each(':leases') do
    if string.match(lease, '^%S+') == me and not holds[id] then pending_again(':leases', id, lease) end
end
