-- ARGV: worker, then ids that it asks for no more.
for i = 2, #ARGV do
    if redis.call('HGET', store .. ':claims', ARGV[i]) == me then
        redis.call('HDEL', store .. ':claims', ARGV[i])
    end
end
