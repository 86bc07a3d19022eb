/** Scripts about lists, streams and groups, for comparison with redis-server; their form is that of wire/resp/scripts.ts. */
export const queueScripts: Record<string, string> = {
  "pushing and taking": `
    RPUSH q a b c
    LPUSH q z y
    LRANGE q 0 -1
    LLEN q
    LLEN missing
    LPOP q
    RPOP q
    LPOP q 2
    LPOP q 0
    LPOP missing
    LPOP missing 2
    RPOP q 10
    RPOP q
    EXISTS q
    TYPE q
    LPUSHX q a
    RPUSHX q a
    RPUSH q a
    LPUSHX q b c
    RPUSHX q d
    LRANGE q 0 -1
    LPOP q -1
    LPOP q x
    LPOP q 1 2
    LPOP
    RPUSH q
    RPUSH
    TYPE q
    DEL q q missing
    DEL
    RPUSH "" empty-key
    LRANGE "" 0 -1
    RPUSH q ""
    LPOP q
  `,
  "ranges, indexes and trims": `
    RPUSH q a b c d e f
    LRANGE q 1 2
    LRANGE q -2 -1
    LRANGE q 4 100
    LRANGE q 3 1
    LRANGE q 100 200
    LRANGE q -100 1
    LRANGE q a b
    LRANGE missing 0 -1
    LRANGE missing a b
    LINDEX q 0
    LINDEX q -1
    LINDEX q 6
    LINDEX q -7
    LINDEX q x
    LINDEX missing x
    LTRIM q 1 4
    LRANGE q 0 -1
    LTRIM q -2 -1
    LRANGE q 0 -1
    LTRIM q x 1
    LTRIM missing 0 1
    LTRIM q 5 1
    EXISTS q
  `,
  moving: `
    RPUSH q a b c
    RPOPLPUSH q r
    LMOVE q r LEFT RIGHT
    LMOVE q r left left
    LRANGE r 0 -1
    EXISTS q
    LMOVE q r LEFT RIGHT
    RPOPLPUSH r r
    LMOVE r r RIGHT LEFT
    LMOVE r r LEFT LEFT
    LRANGE r 0 -1
    LMOVE q r UP RIGHT
    LMOVE q r LEFT DOWN
    RPOPLPUSH missing r
    BLMOVE r q LEFT RIGHT 0
    BRPOPLPUSH r q 0
    LRANGE q 0 -1
    BLMOVE r q LEFT RIGHT -1
    BLMOVE r q LEFT RIGHT x
    BRPOPLPUSH r q 1.5e400
  `,
  "taking without waiting": `
    RPUSH q a b c
    BLPOP q 0
    BRPOP missing q 0
    BLPOP q
    BLPOP q x
    BLPOP q -1
    BLPOP q 1e300
    BLPOP q 0.5
    BLPOP q 0.01
    BRPOP q missing 0.01
    MULTI
    BLPOP q 0
    BRPOP q other 0
    BLMOVE q r LEFT LEFT 0
    XREAD BLOCK 0 STREAMS s $
    EXEC
  `,
  "the wrong kind": `
    RPUSH list a
    XADD stream 1-1 f v
    LPUSH stream a
    RPUSHX stream a
    LPOP stream
    LPOP stream 2
    LLEN stream
    LRANGE stream 0 -1
    LINDEX stream 0
    LTRIM stream 0 1
    BLPOP stream 0
    BLPOP missing stream 0
    LMOVE stream list LEFT LEFT
    LMOVE list stream LEFT LEFT
    XADD list 1-1 f v
    XLEN list
    XRANGE list - +
    XDEL list 1-1
    XTRIM list MAXLEN 0
    XREAD STREAMS list 0
    XREADGROUP GROUP g c STREAMS list >
    XACK list g 1-1
    XPENDING list g
    XCLAIM list g c 0 1-1
    XAUTOCLAIM list g c 0 0
    XGROUP CREATE list g $ MKSTREAM
    XGROUP DESTROY list g
    XINFO STREAM list
    XINFO GROUPS list
    XSETID list 1-1
    TYPE stream
    TYPE list
    TYPE missing
    SCAN 0 TYPE stream COUNT 100
    SCAN 0 TYPE list MATCH l* COUNT 100
    SCAN 0 COUNT 0
    SCAN x
    KEYS *
    KEYS s*
    DBSIZE
    EXISTS list stream missing
    TOUCH list stream
    TTL list
    PTTL missing
    UNLINK list stream
    RANDOMKEY
    SELECT 0
    SELECT x
  `,
  "adding entries": `
    XADD s 1-1 f v
    XADD s 1-1 f v
    XADD s 0-5 f v
    XADD s 0-0 f v
    XADD t 0-0 f v
    EXISTS t
    XADD s 1-* f v
    XADD s 2-* f v
    XADD s 2-* f v
    XADD s 1-* f v
    XADD s 5 a 1 b 2
    XADD s 5 a 1
    XADD s x f v
    XADD s 1-x f v
    XADD s -1-1 f v
    XADD s 1-1-1 f v
    XADD s + f v
    XADD s - f v
    XADD s 6-1 f
    XADD s 6-1
    XADD s 6-1 a b c
    XADD s NOMKSTREAM 7-1 f v
    XADD missing NOMKSTREAM 7-1 f v
    XLEN s
    XLEN missing
    XADD s MAXLEN 3 8-1 f v
    XRANGE s - +
    XADD s MAXLEN = 2 9-1 f v
    XADD s MINID 9-1 10-1 f v
    XRANGE s - +
    XADD s MAXLEN -1 11-1 f v
    XADD s MAXLEN x 11-1 f v
    XADD s MAXLEN 1 MINID 1 11-1 f v
    XADD s MINID x 11-1 f v
    XADD s LIMIT 1 11-1 f v
    XADD s MAXLEN 2 LIMIT 1 11-1 f v
    XADD s MAXLEN ~ 2 LIMIT -1 11-1 f v
    XADD s MAXLEN 0 12-1 f v
    XLEN s
    XADD s 18446744073709551615-18446744073709551615 f v
    XADD s * f v
    XADD s 18446744073709551615-* f v
    XADD big 18446744073709551616-1 f v
    XADD r 5-18446744073709551615 f v
    XADD r 5-* f v
  `,
  "ranges of entries": `
    XADD s 1-1 a 1
    XADD s 1-2 a 2
    XADD s 2-1 a 3 b 4
    XADD s 3-1 a 5
    XRANGE s - +
    XRANGE s 1 2
    XRANGE s (1-1 3
    XRANGE s (1-1 (3-1
    XRANGE s 1-2 1-2
    XRANGE s + -
    XRANGE s - + COUNT 2
    XRANGE s - + COUNT 0
    XRANGE s - + COUNT -1
    XRANGE s - + COUNT x
    XRANGE s - + LIMIT 2
    XRANGE s - + COUNT
    XRANGE s x +
    XRANGE s (- +
    XRANGE s - (+
    XRANGE s (18446744073709551615-18446744073709551615 +
    XRANGE s - (0-0
    XRANGE missing - +
    XRANGE missing x +
    XREVRANGE s + -
    XREVRANGE s 2 1-2
    XREVRANGE s (3-1 - COUNT 1
    XREVRANGE missing + -
    XRANGE s -
    XDEL s 1-2 9-9
    XDEL s 1-2
    XDEL s x
    XDEL missing 1-1
    XDEL s
    XRANGE s - +
    XDEL s 1-1
    XINFO STREAM s
    XTRIM s MAXLEN 1
    XRANGE s - +
    XTRIM s MINID 100
    XLEN s
    EXISTS s
    XRANGE s - +
    XTRIM s
    XTRIM s MAXLEN
    XTRIM s FOO 1
    XTRIM s MAXLEN 1 FOO
    XTRIM s LIMIT 1
    XTRIM s LIMIT 1 MAXLEN 0
    XTRIM missing MAXLEN 1
    XINFO STREAM s
    XSETID s 50-0
    XSETID s 60-0 ENTRIESADDED 100 MAXDELETEDID 3-0
    XINFO STREAM s
    XSETID s 1-0 ENTRIESADDED -1
    XSETID s 1-0 MAXDELETEDID 3-0
    XSETID missing 1-0
    XSETID s x
    XSETID s 70-0 FOO
    XADD s 80-0 a b
    XSETID s 79-0
    XSETID s 81-0 ENTRIESADDED 0
  `,
  reading: `
    XADD s 1-1 a 1
    XADD s 2-1 a 2
    XADD t 5-1 b 1
    XREAD STREAMS s 0
    XREAD STREAMS s t 0 0
    XREAD STREAMS s t 1-1 9
    XREAD COUNT 1 STREAMS s t 0 0
    XREAD COUNT 0 STREAMS s 0
    XREAD COUNT -1 STREAMS s 0
    XREAD COUNT x STREAMS s 0
    XREAD STREAMS s $
    XREAD STREAMS s 2-1
    XREAD STREAMS missing 0
    XREAD STREAMS s
    XREAD STREAMS s t 0
    XREAD STREAMS s x
    XREAD STREAMS s >
    XREAD STREAMS s +
    XREAD FOO STREAMS s 0
    XREAD COUNT 1 s 0
    XREAD BLOCK x STREAMS s 0
    XREAD BLOCK -1 STREAMS s 0
    XREAD BLOCK 5 STREAMS s $
    XREAD BLOCK 5 STREAMS s 0
    XREAD GROUP g c STREAMS s 0
    XREAD NOACK STREAMS s 0
  `,
  groups: `
    XGROUP CREATE s g $
    XGROUP CREATE s g $ MKSTREAM
    XGROUP CREATE s g $ MKSTREAM
    XINFO STREAM s
    XLEN s
    XADD s 1-1 a 1
    XADD s 2-1 a 2
    XADD s 3-1 a 3
    XGROUP CREATE s h 1-1
    XGROUP CREATE s i 0 ENTRIESREAD 2
    XGROUP CREATE s j x
    XGROUP CREATE s j 0 ENTRIESREAD -5
    XGROUP CREATE s j 0 FOO
    XGROUP CREATE s
    XGROUP FOO s
    XGROUP
    XGROUP HELP
    XINFO GROUPS s
    XREADGROUP GROUP g alice STREAMS s >
    XREADGROUP GROUP g alice STREAMS s >
    XREADGROUP GROUP g alice STREAMS s 0
    XREADGROUP GROUP g alice STREAMS s 1-1
    XREADGROUP GROUP g bob STREAMS s 0
    XREADGROUP GROUP g bob COUNT 1 STREAMS s 0
    XREADGROUP GROUP h bob COUNT 1 STREAMS s >
    XREADGROUP GROUP h bob NOACK STREAMS s >
    XINFO GROUPS s
    XPENDING s g
    XPENDING s h
    XPENDING s i
    XPENDING s missing
    XPENDING missing g
    XPENDING s g - + 10
    XPENDING s g - + 10 alice
    XPENDING s g - + 10 nobody
    XPENDING s g (1-1 + 1
    XPENDING s g IDLE 100000 - + 10
    XPENDING s g - +
    XPENDING s g - + x
    XPENDING s g IDLE x - + 10
    XPENDING s g x + 10
    XACK s g 1-1 9-9
    XACK s g 1-1
    XACK s missing 1-1
    XACK missing g 1-1
    XACK s g x
    XACK s g
    XPENDING s g
    XGROUP SETID s g 0
    XREADGROUP GROUP g bob STREAMS s >
    XPENDING s g
    XGROUP SETID s g $
    XGROUP SETID s missing $
    XGROUP SETID missing g $
    XGROUP SETID s g $ ENTRIESREAD 1
    XINFO GROUPS s
    XGROUP CREATECONSUMER s g carol
    XGROUP CREATECONSUMER s g carol
    XGROUP CREATECONSUMER s missing carol
    XGROUP DELCONSUMER s g carol
    XGROUP DELCONSUMER s g bob
    XGROUP DELCONSUMER s g bob
    XGROUP DELCONSUMER s missing bob
    XINFO CONSUMERS s g
    XINFO CONSUMERS s missing
    XINFO CONSUMERS missing g
    XINFO GROUPS missing
    XINFO STREAM missing
    XINFO FOO s
    XINFO HELP
    XINFO STREAM s FOO
    XINFO STREAM s FULL COUNT x
    XGROUP DESTROY s g
    XGROUP DESTROY s g
    XGROUP DESTROY missing g
    XREADGROUP GROUP g c STREAMS s >
    XREADGROUP GROUP h c STREAMS s $
    XREADGROUP GROUP h c STREAMS s x
    XREADGROUP GROUP h c STREAMS missing >
    XREADGROUP STREAMS s >
    XREADGROUP COUNT 1 BLOCK 1 STREAMS s >
    XREADGROUP GROUP h c STREAMS s t > 
    XGROUP CREATE s - -
    XGROUP CREATE s + +
    XGROUP SETID s h -
    XREADGROUP GROUP h twice STREAMS s s > >
    XREADGROUP GROUP h twice STREAMS s s > >
    XREADGROUP GROUP h twice STREAMS s s 0 >
    XREAD STREAMS s s 1-1 2-1
    MEMORY USAGE s SAMPLES
    MEMORY USAGE s SAMPLES x
    MEMORY USAGE s SAMPLES -1
    MEMORY USAGE missing SAMPLES 5
    XDEL s 2-1
    XREADGROUP GROUP h bob STREAMS s 0
    XINFO GROUPS s
  `,
  claiming: `
    XGROUP CREATE s g 0 MKSTREAM
    XADD s 1-1 a 1
    XADD s 2-1 a 2
    XADD s 3-1 a 3
    XADD s 4-1 a 4
    XREADGROUP GROUP g alice COUNT 3 STREAMS s >
    XCLAIM s g bob 0 1-1
    XPENDING s g - + 10 bob
    XCLAIM s g bob 100000 2-1
    XCLAIM s g bob 0 1-1 2-1 JUSTID
    XCLAIM s g bob 0 4-1
    XCLAIM s g bob 0 4-1 FORCE
    XCLAIM s g bob 0 4-1 FORCE JUSTID
    XCLAIM s g bob 0 9-9 FORCE
    XCLAIM s g bob 0 1-1 RETRYCOUNT 7
    XCLAIM s g bob 0 1-1 IDLE 0 TIME 0 LASTID 3-1
    XPENDING s g IDLE 0 - + 10 alice
    XCLAIM s g bob x 1-1
    XCLAIM s g bob 0 1-1 IDLE x
    XCLAIM s g bob 0 1-1 TIME x
    XCLAIM s g bob 0 1-1 RETRYCOUNT x
    XCLAIM s g bob 0 1-1 LASTID x
    XCLAIM s g bob 0 1-1 FOO
    XCLAIM s g bob 0 x
    XCLAIM s missing bob 0 1-1
    XCLAIM missing g bob 0 1-1
    XCLAIM s g bob 0
    XDEL s 2-1
    XCLAIM s g carol 0 2-1
    XPENDING s g
    XAUTOCLAIM s g dave 0 0
    XAUTOCLAIM s g dave 0 0 COUNT 1
    XAUTOCLAIM s g dave 0 3-1 COUNT 1 JUSTID
    XAUTOCLAIM s g dave 100000 0
    XAUTOCLAIM s g dave 0 (1-1
    XAUTOCLAIM s g dave x 0
    XAUTOCLAIM s g dave 0 x
    XAUTOCLAIM s g dave 0 0 COUNT 0
    XAUTOCLAIM s g dave 0 0 COUNT x
    XAUTOCLAIM s g dave 0 0 FOO
    XAUTOCLAIM s missing dave 0 0
    XAUTOCLAIM missing g dave 0 0
    XDEL s 1-1
    XAUTOCLAIM s g erin 0 0
    XPENDING s g - + 10
    XINFO CONSUMERS s g
    XINFO GROUPS s
  `,
  "a transaction": `
    MULTI
    RPUSH q a b
    LPOP q
    XADD s 1-1 f v
    XLEN s
    NOSUCH
    EXEC
    MULTI
    RPUSH q a b
    LPOP q
    XADD s 1-1 f v
    LPUSH s x
    XLEN s
    EXEC
    WATCH q
    RPUSH q c
    MULTI
    LPOP q
    EXEC
    WATCH q
    2: LPOP q
    MULTI
    LPOP q
    EXEC
    WATCH fresh
    2: XGROUP CREATE fresh g 0 MKSTREAM
    MULTI
    PING
    EXEC
    XADD fresh 1-1 f v
    XADD fresh 2-1 f v
    WATCH fresh
    2: XREADGROUP GROUP g c COUNT 1 STREAMS fresh >
    2: XCLAIM fresh g d 0 1-1
    2: XACK fresh g 1-1
    2: XGROUP CREATECONSUMER fresh g e
    2: XGROUP DELCONSUMER fresh g e
    2: XGROUP SETID fresh g 0
    2: XGROUP CREATE fresh h 0
    2: XGROUP DESTROY fresh h
    MULTI
    PING
    EXEC
    WATCH fresh
    2: XDEL fresh 2-1
    MULTI
    PING
    EXEC
    WATCH fresh
    2: XSETID fresh 9-9
    MULTI
    PING
    EXEC
    WATCH fresh
    2: XTRIM fresh MAXLEN 0
    MULTI
    PING
    EXEC
    WATCH s
    2: XADD s 2-1 f v
    MULTI
    XLEN s
    EXEC
    WATCH nothing
    2: RPUSH nothing x
    2: DEL nothing
    MULTI
    PING
    EXEC
  `,
  "what tells of commands": `
    COMMAND INFO lpush rpush lpop rpop blpop brpop llen lrange ltrim lindex lpushx rpushx
    COMMAND INFO lmove rpoplpush blmove brpoplpush del exists type
    COMMAND INFO xadd xlen xrange xrevrange xread xdel xtrim xsetid xreadgroup xack xpending xclaim xautoclaim
    COMMAND GETKEYS LPUSH q a
    COMMAND GETKEYS BLPOP a b 0
    COMMAND GETKEYS XREAD COUNT 1 STREAMS a b 0 0
    COMMAND GETKEYS XREADGROUP GROUP g c BLOCK 1 STREAMS a b > >
    COMMAND GETKEYS XGROUP CREATE a g 0
    COMMAND GETKEYS XINFO STREAM a
    PING
    ECHO hi
    FLUSHALL
    FLUSHDB ASYNC
    FLUSHALL FOO
  `,
};
