-- ARGV: worker, then anime ids whose leases it ends.
for i = 2, #ARGV do
    if redis.call('HGET', store .. ':claims', ARGV[i]) == me then
        redis.call('HDEL', store .. ':claims', ARGV[i])
    end
end
