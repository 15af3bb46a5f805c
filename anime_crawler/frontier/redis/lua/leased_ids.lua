-- ARGV: worker. Gives: the anime ids that other living workers have leased.
local found = {}
for id, owner in each(':claims') do
    if owner ~= me and is_alive(owner) then table.insert(found, id) end
end
return found
