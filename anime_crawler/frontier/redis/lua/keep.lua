-- ARGV: worker, id. The request is given up in this session of the crawl and becomes pending in the next.
redis.call('HSET', store .. ':kept', ARGV[2], '-' .. string.sub(lease, #me + 1))
