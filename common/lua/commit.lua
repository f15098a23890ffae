-- One step of a call: move the input cursor, append the commands, keep the agent's state; all or
-- nothing. A step is applied once, however often it is sent, and only for the current owner.
--
-- KEYS  1 call (hash)   2 events (stream)   3 commands (stream)
-- ARGV  1 token   2 number of this commit   3 cursor: sequence of the last event fully handled
--       4 partial: commands already appended for the event after the cursor
--       5 time to live, s   6 '1' when ARGV[7] replaces the stored state   7 state
--       8.. commands, encoded
-- Answers COMMITTED, ALREADY (this very commit was applied before), FENCED (another owns the
-- call), CONFLICT (a number was skipped: a bug), or GONE (the call has ended).
--
-- Every check precedes the first write and entry ids are computed from the stored counter, so no
-- write can fail half-way.
local facts = redis.call('HMGET', KEYS[1], 'token', 'commit', 'out')
if not facts[1] then
  return 'GONE'
end
if facts[1] ~= ARGV[1] then
  return 'FENCED'
end
local stored, number = tonumber(facts[2]), tonumber(ARGV[2])
if stored == number then
  return 'ALREADY'
end
if stored ~= number - 1 then
  return 'CONFLICT'
end
local out = tonumber(facts[3])
for i = 8, #ARGV do
  out = out + 1
  local id = string.format('%d-0', out)
  if not redis.call('XADD', KEYS[3], 'NOMKSTREAM', id, 'e', ARGV[i]) then
    redis.call('XADD', KEYS[3], id, 'e', ARGV[i])
    -- The dead man's switch: a new stream needs one at once.
    redis.call('EXPIRE', KEYS[3], ARGV[5])
  end
end
redis.call('HSET', KEYS[1], 'commit', number, 'cursor', ARGV[3], 'partial', ARGV[4], 'out', out)
if ARGV[6] == '1' then
  redis.call('HSET', KEYS[1], 'state', ARGV[7])
end
-- Housekeeping need not be done at every step: events behind the cursor, and the switch of all keys.
if number % 32 == 1 then
  redis.call('XTRIM', KEYS[2], 'MINID', string.format('%d-0', tonumber(ARGV[3]) + 1))
  redis.call('EXPIRE', KEYS[1], ARGV[5])
  redis.call('EXPIRE', KEYS[2], ARGV[5])
  redis.call('EXPIRE', KEYS[3], ARGV[5])
end
return 'COMMITTED'
