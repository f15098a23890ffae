-- Say goodbye: a worker with nothing left to do is forgotten, and one that leaves something behind
-- is dead from now on, so that the others need not wait for the end of its lease.
--
-- KEYS  1 calls (stream)   2 workers (leases)
-- ARGV  1 group   2 worker
-- Answers how many dispatch entries are left behind.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000, ARGV[2])
local left = pending.err and 0 or #pending
if left > 0 then
  local time = redis.call('TIME')
  redis.call('ZADD', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[2])
  return left
end
redis.pcall('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[2])
return 0
