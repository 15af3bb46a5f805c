-- ARGV: worker, id. The request cannot be read: it is put aside.
redis.call('HSET', store .. ':refused', ARGV[2], redis.call('HGET', store .. ':requests', ARGV[2]) or '')
redis.call('HDEL', store .. ':requests', ARGV[2])
