-- Give Redis back what it has lost of a call, out of its owner's memory: all, after it came back
-- empty and the edge has announced the call again; the last steps, after a failover.
-- Repeating it changes nothing.
--
-- KEYS  1 calls (stream)   2 call (hash)   3 commands (stream)   4 workers (leases)
--       5 ended (calls)
-- ARGV  1 token   2 group   3 lease of the owner, ms   4 time to live, s
--       5 number of the last commit   6 cursor   7 partial   8 state
--       9 call id   10 sequence of the first command that follows
--       11.. the latest commands, encoded
-- Answers RESTORED, INTACT (nothing was lost), FENCED (another owns it, or has ended it), or GONE.
local facts = redis.call('HMGET', KEYS[2], 'token', 'commit', 'out', 'entry')
local token = facts[1]
if not token then
  return redis.call('ZSCORE', KEYS[5], ARGV[9]) and 'FENCED' or 'GONE'
end
local stored_commit, number = tonumber(facts[2]), tonumber(ARGV[5])
if token == ARGV[1] then
  if stored_commit >= number then
    return 'INTACT'
  end
-- Whoever says that it owns a call that nobody owns, and knows all that Redis does, speaks of a
-- claim that was lost.
elseif token ~= '' or stored_commit > number then
  return 'FENCED'
end
-- The owner alone knows which number comes next: what the edge has read beyond it was a commit
-- whose answer got lost, and will be sent again under the same numbers.
local stored = tonumber(facts[3])
local out = tonumber(ARGV[10]) - 1
for i = 11, #ARGV do
  out = out + 1
  if out > stored then
    redis.call('XADD', KEYS[3], string.format('%d-0', out), 'e', ARGV[i])
  end
end
redis.call('HSET', KEYS[2], 'token', ARGV[1], 'commit', ARGV[5], 'cursor', ARGV[6],
  'partial', ARGV[7], 'state', ARGV[8], 'out', out, 'kept_until', 0)
if token == '' then
  redis.call('HINCRBY', KEYS[2], 'claims', 1)
end
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('EXPIRE', KEYS[3], ARGV[4])
-- The owner lives, though Redis may not have heard of it yet, and has the entry, so that it is found
-- by that should the owner die: also one that is still to be handed out, for nobody may have room.
-- Whoever is handed it later, gives it back (claim.lua).
local worker = string.match(ARGV[1], '^(.*):%d+$')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[4], now + tonumber(ARGV[3]), worker)
redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[2], '0')
redis.pcall('XCLAIM', KEYS[1], ARGV[2], worker, 0, facts[4], 'FORCE', 'JUSTID')
return 'RESTORED'
