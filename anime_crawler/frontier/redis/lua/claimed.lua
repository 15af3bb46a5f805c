-- ARGV: worker. Gives: the ids that other workers ask for.
local found = {}
for id, owner in each(':claims') do
    if owner ~= me and is_alive(owner) then table.insert(found, id) end
end
return found
