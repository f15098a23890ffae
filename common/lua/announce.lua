-- Put a new call on its lane: the dispatch entry, the call's hash and its first event.
-- Repeating it changes nothing, so the edge may retry after a lost reply.
--
-- KEYS  1 calls (stream)   2 call (hash)   3 events (stream)
-- ARGV  1 call id   2 edge id   3 first event, encoded   4 time to live, s
-- Answers ANNOUNCED, or ALREADY.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 'ALREADY'
end
local entry = redis.call('XADD', KEYS[1], '*', 'e', ARGV[1])
redis.call('HSET', KEYS[2], 'edge', ARGV[2], 'entry', entry, 'start', ARGV[3], 'token', '',
  'commit', 0, 'cursor', 0, 'partial', 0, 'out', 0, 'state', '')
redis.call('XADD', KEYS[3], '1-0', 'e', ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('EXPIRE', KEYS[3], ARGV[4])
return 'ANNOUNCED'
