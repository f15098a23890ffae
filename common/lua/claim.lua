-- Make the caller the owner of a call that nobody owns.
-- Repeating it with the same token answers the same, so a worker may retry after a lost reply.
--
-- KEYS  1 call (hash)
-- ARGV  1 the new owner's token, unique for ever
-- Answers {commit, cursor, partial, out, state, first event}, or GONE, or TAKEN.
local facts = redis.call('HMGET', KEYS[1], 'token', 'commit', 'cursor', 'partial', 'out', 'state',
  'start')
if not facts[1] then
  return 'GONE'
end
if facts[1] ~= '' and facts[1] ~= ARGV[1] then
  return 'TAKEN'
end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
return {tonumber(facts[2]), tonumber(facts[3]), tonumber(facts[4]), tonumber(facts[5]), facts[6],
  facts[7]}
