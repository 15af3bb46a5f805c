-- ARGV: worker, then anime ids. Gives: the ids that the worker has leased now.
local granted = {}
for i = 2, #ARGV do
    local owner = redis.call('HGET', store .. ':claims', ARGV[i])
    if not owner or owner == me or not is_alive(owner) then
        redis.call('HSET', store .. ':claims', ARGV[i], me)
        table.insert(granted, ARGV[i])
    end
end
return granted
