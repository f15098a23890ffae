-- Renew a lease, by the clock of Redis, and look whose lease has run out.
--
-- KEYS  1 leases that the caller's is among   2.. leases to look at
-- ARGV  1 the caller's name   2 length of its lease, ms   3 ms after which one that has run out
--       is forgotten, 0: never
-- Answers {now, ms; the names in KEYS[2] whose lease has run out; those in KEYS[3] ..}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local length = tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], now + length, ARGV[1])
-- The clock may have been set back: nobody's lease reaches that far.
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now + 10 * length, '+inf')) do
  redis.call('ZADD', KEYS[1], now + length, name)
end
if ARGV[3] ~= '0' then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
end
local answer = {now}
for i = 2, #KEYS do
  answer[i] = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now)
end
return answer
