-- End a call: its dispatch entry and its keys go, in one step. That it has ended is remembered a
-- while, so that no edge that did not hear of it announces it again: also of one that Redis has lost
-- before.
--
-- KEYS  1 calls (stream)   2 call (hash)   3 events (stream)   4 commands (stream)
--       5 ended (calls)
-- ARGV  1 token   2 group   3 call id   4 s to remember its end
-- Answers FINISHED, FENCED (another owns the call), or GONE.
local facts = redis.call('HMGET', KEYS[2], 'token', 'entry')
local token = facts[1]
if token and token ~= ARGV[1] then
  return 'FENCED'
end
if token then
  redis.call('XACK', KEYS[1], ARGV[2], facts[2])
  redis.call('XDEL', KEYS[1], facts[2])
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
end
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now)
redis.call('ZADD', KEYS[5], now + tonumber(ARGV[4]), ARGV[3])
redis.call('EXPIRE', KEYS[5], ARGV[4])
return token and 'FINISHED' or 'GONE'
