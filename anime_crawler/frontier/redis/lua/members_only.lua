-- A worker that is no longer among the living gets the reply LOST, and the script changes nothing.
if not is_alive(me) then return redis.error_reply('LOST') end
