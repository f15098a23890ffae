-- Take back a call that no worker has ever claimed.
--
-- KEYS  1 calls (stream)   2 call (hash)   3 events (stream)   4 commands (stream)
-- ARGV  1 group
-- Answers WITHDRAWN, TAKEN (a worker has, or had), or GONE.
local facts = redis.call('HMGET', KEYS[2], 'claims', 'entry')
if not facts[1] then
  return 'GONE'
end
if facts[1] ~= '0' then
  return 'TAKEN'
end
-- Handed to a worker that never heard of it, the entry would stay pending for ever.
redis.call('XACK', KEYS[1], ARGV[1], facts[2])
redis.call('XDEL', KEYS[1], facts[2])
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
return 'WITHDRAWN'
