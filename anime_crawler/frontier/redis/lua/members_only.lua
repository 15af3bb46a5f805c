-- A worker that the others take for dead may do nothing any more.
if not is_alive(me) then return redis.error_reply('LOST') end
