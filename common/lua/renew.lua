-- Renew a lease, by the clock of Redis, and look whose lease has run out.
--
-- KEYS  1 leases that the caller's is among   2.. leases to look at
-- ARGV  1 the caller's name   2 length of its lease, ms   3 ms after which one that has run out
--       is forgotten, 0: never
-- Answers {now, ms; ms until the next lease in KEYS[2] runs out that is not the caller's, -1: there
-- is none; the names in KEYS[2] whose lease has run out; those in KEYS[3] ..}.
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
local answer = {now, -1}
for i = 2, #KEYS do
  answer[i + 1] = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now)
end
if KEYS[2] then
  local after = string.format('(%d', now)
  local living = redis.call('ZRANGEBYSCORE', KEYS[2], after, '+inf', 'WITHSCORES', 'LIMIT', 0, 2)
  for i = 1, #living, 2 do
    if living[i] ~= ARGV[1] then
      answer[2] = tonumber(living[i + 1]) - now
      break
    end
  end
end
return answer
