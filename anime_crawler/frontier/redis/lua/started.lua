-- ARGV: worker. The first requests are made.
redis.call('SET', store .. ':start', 'done')
