-- Take dispatch entries of a dead worker over; who has an entry may claim its call. A worker that
-- is dead and has no entry left is forgotten.
--
-- KEYS  1 calls (stream)   2 workers (leases)
-- ARGV  1 group   2 the dead worker   3 the caller   4 how many entries at most
-- Answers the entries, as XRANGE does; none when the other one lives after all.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('ZSCORE', KEYS[2], ARGV[2])
if lease and tonumber(lease) > now then
  return {}
end
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[2])
if pending.err and not string.find(pending.err, 'NOGROUP') then
  return pending
end
-- Where there is no group, nobody has anything.
if pending.err or #pending == 0 then
  redis.pcall('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
  redis.call('ZREM', KEYS[2], ARGV[2])
  return {}
end
local adopted = {}
for _, facts in ipairs(pending) do
  local entries = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, facts[1])
  if entries[1] then
    adopted[#adopted + 1] = entries[1]
  else
    -- Deleted behind the group's back; nobody deletes without an XACK, but an operator may.
    redis.call('XACK', KEYS[1], ARGV[1], facts[1])
  end
end
return adopted
