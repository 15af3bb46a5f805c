-- ARGV: worker, run and address. Gives: the number of pending requests.
-- The script replies HELD if the requests belong to another run whose workers are alive.
local session = redis.call('GET', membership .. ':session')
redis.call('SADD', membership .. ':frontiers', store)
local is_first = redis.call('GET', store .. ':session') ~= session
if redis.call('GET', store .. ':run') ~= ARGV[2] then
    if not is_first then return redis.error_reply('HELD') end
    forget()
    redis.call('SET', store .. ':run', ARGV[2])
end
reclaim()
if is_first then
    redis.call('SET', store .. ':session', session)
    for id, lease in each(':kept') do pending_again(':kept', id, lease) end
    if count_pending() == 0 then forget() end
end
return count_pending()
