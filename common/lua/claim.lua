-- Make the caller the owner of a call that nobody owns, or whose owner is dead.
-- Repeating it with the same token answers the same, so a worker may retry after a lost reply.
--
-- KEYS  1 calls (stream)   2 call (hash)   3 workers (leases)
-- ARGV  1 the new owner's token, unique for ever: <worker>:<n>   2 group
--       3 '1' when the call may be one that kills its owners
--       4 ms that the edge has to say what it has read, should this be another server than before
-- Answers {commit, cursor, partial, out, state, first event, edge, deaths}, or GONE, or TAKEN (its
-- owner lives, or is the caller), or KEPT (for the owner that Redis has forgotten, or until its edge
-- was heard: ask again), or SUSPECT (its owner died where the one before had died).
--
-- `deaths` counts owners that died one after another without the call getting any further. `out`
-- is never less than what the edge has read, be it that a failover has lost it: so a server to which
-- the edge has not announced the call yet gives it to nobody who does not own it already.
local facts = redis.call('HMGET', KEYS[2], 'token', 'commit', 'cursor', 'partial', 'out', 'state',
  'start', 'edge', 'deaths', 'died_at', 'kept_until', 'entry', 'read', 'server', 'awaited')
local token = facts[1]
if not token then
  return 'GONE'
end
local out = tonumber(facts[5])
-- Those who died elsewhere count no longer: the call has got further since.
local deaths = facts[10] == facts[3] and tonumber(facts[9]) or 0
if token ~= ARGV[1] then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if token == '' then
    if tonumber(facts[11]) > now then
      return 'KEPT'
    end
  else
    local owner = string.match(token, '^(.*):%d+$') or token
    local lease = redis.call('ZSCORE', KEYS[3], owner)
    local is_asking = owner == string.match(ARGV[1], '^(.*):%d+$')
    if is_asking or lease and tonumber(lease) > now then
      -- Whoever owns the call has to have its entry: should the owner die, it is found by that.
      redis.pcall('XCLAIM', KEYS[1], ARGV[2], owner, 0, facts[12], 'JUSTID')
      return 'TAKEN'
    end
    if deaths > 0 and ARGV[3] ~= '1' then
      return 'SUSPECT'
    end
  end
  local server = redis.pcall('INFO', 'server')
  server = type(server) == 'string' and string.match(server, 'run_id:(%x+)') or ''
  if facts[14] ~= server then
    local awaiting, until_ms = string.match(facts[15] or '', '^(%x*) (%d+)$')
    if awaiting ~= server then
      until_ms = now + tonumber(ARGV[4])
      redis.call('HSET', KEYS[2], 'awaited', string.format('%s %d', server, until_ms))
    end
    if tonumber(until_ms) > now then
      return 'KEPT'
    end
  end
  if token ~= '' then
    deaths = deaths + 1
    redis.call('HSET', KEYS[2], 'deaths', deaths, 'died_at', facts[3])
  end
  out = math.max(out, tonumber(facts[13]))
  redis.call('HSET', KEYS[2], 'token', ARGV[1], 'out', out, 'kept_until', 0)
  redis.call('HINCRBY', KEYS[2], 'claims', 1)
end
return {tonumber(facts[2]), tonumber(facts[3]), tonumber(facts[4]), out, facts[6],
  facts[7], facts[8], deaths}
