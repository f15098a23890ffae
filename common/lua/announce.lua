-- Put a call on its lane: the dispatch entry, the call's hash and its first event. Again, when
-- Redis may have lost it: then the call is kept for a while for the worker that still runs it.
-- Repeating it changes nothing, so the edge may retry after a lost reply.
--
-- KEYS  1 calls (stream)   2 call (hash)   3 events (stream)   4 commands (stream)
--       5 ended (calls)
-- ARGV  1 call id   2 edge id   3 first event, encoded   4 time to live, s
--       5 sequence of the last command that the edge has read   6 ms to keep it for its owner
-- Answers the sequence of the last event that is stored, or ENDED: by its owner, and for good.
if redis.call('ZSCORE', KEYS[5], ARGV[1]) then
  return 'ENDED'
end
local function last_of(stream)
  local facts = redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'STREAM', stream) or {}
  for i = 1, #facts, 2 do
    if facts[i] == 'last-generated-id' then
      return tonumber(string.match(facts[i + 1], '^%d+'))
    end
  end
  return 0
end
local stored = last_of(KEYS[3])
-- Where the user may not ask, it is the same server for all.
local server = redis.pcall('INFO', 'server')
server = type(server) == 'string' and string.match(server, 'run_id:(%x+)') or ''
local read = redis.call('HGET', KEYS[2], 'read')
if read then
  -- The next owner must not number its commands as those that were read and then lost.
  read = math.max(tonumber(read), tonumber(ARGV[5]))
  redis.call('HSET', KEYS[2], 'read', read, 'server', server)
else
  local kept_until = 0
  if tonumber(ARGV[6]) > 0 then
    local time = redis.call('TIME')
    kept_until = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[6])
  end
  -- The hash alone may be lost, and the commands be there that the edge has still to read.
  local out = math.max(tonumber(ARGV[5]), last_of(KEYS[4]))
  local entry = redis.call('XADD', KEYS[1], '*', 'e', ARGV[1])
  redis.call('HSET', KEYS[2], 'edge', ARGV[2], 'entry', entry, 'start', ARGV[3], 'token', '',
    'claims', 0, 'commit', 0, 'cursor', 0, 'partial', 0, 'out', out, 'read', ARGV[5],
    'state', '', 'kept_until', kept_until, 'deaths', 0, 'died_at', '', 'server', server)
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
if stored > 0 then
  return stored
end
redis.call('XADD', KEYS[3], '1-0', 'e', ARGV[3])
redis.call('EXPIRE', KEYS[3], ARGV[4])
return 1
