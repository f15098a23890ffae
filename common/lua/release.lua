-- Hand a call over: its owner gives it up, and it waits in dispatch for another one.
--
-- KEYS  1 calls (stream)   2 call (hash)
-- ARGV  1 token   2 group   3 call id
-- Answers RELEASED, ALREADY (nobody owns it), FENCED (another owns it), or GONE.
local facts = redis.call('HMGET', KEYS[2], 'token', 'entry')
if not facts[1] then
  return 'GONE'
end
if facts[1] == '' then
  return 'ALREADY'
end
if facts[1] ~= ARGV[1] then
  return 'FENCED'
end
-- A new entry, because it wakes whoever waits for a call.
redis.call('XACK', KEYS[1], ARGV[2], facts[2])
redis.call('XDEL', KEYS[1], facts[2])
local entry = redis.call('XADD', KEYS[1], '*', 'e', ARGV[3])
redis.call('HSET', KEYS[2], 'token', '', 'entry', entry)
return 'RELEASED'
