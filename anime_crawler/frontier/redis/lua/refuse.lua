-- ARGV: worker, id. The script sets aside a request that cannot be read.
redis.call('HSET', store .. ':refused', ARGV[2], redis.call('HGET', store .. ':requests', ARGV[2]) or '')
redis.call('HDEL', store .. ':requests', ARGV[2])
