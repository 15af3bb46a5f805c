-- ARGV: worker, id. The request must be leased by the worker; it is not any more afterwards.
local lease = redis.call('HGET', store .. ':leases', ARGV[2])
if not lease or string.match(lease, '^%S+') ~= me then return 0 end
redis.call('HDEL', store .. ':leases', ARGV[2])
