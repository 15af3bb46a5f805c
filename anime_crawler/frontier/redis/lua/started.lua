-- ARGV: worker. The script notes that the first requests have been made.
redis.call('SET', store .. ':start', 'done')
