-- ARGV: worker, id. This part ends the worker's lease of the request; without such a lease the script changes nothing.
local lease = redis.call('HGET', store .. ':leases', ARGV[2])
if not lease or string.match(lease, '^%S+') ~= me then return 0 end
redis.call('HDEL', store .. ':leases', ARGV[2])
