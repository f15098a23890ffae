-- End a call: its dispatch entry and its keys go, in one step.
--
-- KEYS  1 calls (stream)   2 call (hash)   3 events (stream)   4 commands (stream)
-- ARGV  1 token   2 group
-- Answers FINISHED, FENCED (another owns the call), or GONE.
local facts = redis.call('HMGET', KEYS[2], 'token', 'entry')
if not facts[1] then
  return 'GONE'
end
if facts[1] ~= ARGV[1] then
  return 'FENCED'
end
redis.call('XACK', KEYS[1], ARGV[2], facts[2])
redis.call('XDEL', KEYS[1], facts[2])
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
return 'FINISHED'
