-- ARGV: worker. Gives: start (this worker makes the first requests), wait (another does) or done.
local starter = redis.call('GET', store .. ':start')
if starter == 'done' then return 'done' end
if starter and starter ~= me and is_alive(starter) then return 'wait' end
redis.call('SET', store .. ':start', me)
return 'start'
