/** Scripts about connections, administration and transactions; see scripts.ts. */
export const sessionScripts: Record<string, string> = {
  "connection commands": `
    PING
    PING hi
    PING a b
    ping
    ECHO x
    ECHO
    ECHO a b
    SELECT 1
    SET a one
    SELECT 0
    GET a
    SELECT 1
    GET a
    SELECT 15
    SELECT 16
    SELECT -1
    SELECT 2147483647
    SELECT 2147483648
    SELECT -2147483649
    SELECT 99999999999999999999999
    SELECT -99999999999999999999999
    SELECT
    SELECT 1 2
    CLIENT GETNAME
    CLIENT SETNAME me
    CLIENT GETNAME
    CLIENT SETNAME "a b"
    CLIENT SETNAME ""
    CLIENT GETNAME
    CLIENT SETNAME
    CLIENT NOSUCH
    CLIENT nosuch a b
    CLIENT
    CLIENT ID x
    CLIENT ID
    CLIENT KILL 1.2.3.4:5
    CLIENT KILL ID 99999999
    CLIENT KILL ID x
    CLIENT KILL ID 0
    CLIENT KILL TYPE bogus
    CLIENT KILL BOGUS x
    CLIENT KILL ID 1 ADDR
    CLIENT LIST BOGUS
    CLIENT LIST TYPE bogus
    CLIENT LIST TYPE pubsub
    CLIENT LIST ID x
    CLIENT LIST ID 99999999
    CLIENT SETINFO lib-name x
    AUTH x
    AUTH default x
    AUTH other x
    AUTH a b c
    AUTH
    HELLO x
    HELLO 1
    HELLO 4
    HELLO 9999999999999999999999
    HELLO 3 BOGUS
    HELLO 3 SETNAME
    HELLO 3 SETNAME "a b"
    HELLO 3 AUTH default
    HELLO 3 AUTH other x
    HELLO 2 SETNAME named
    CLIENT GETNAME
    HELLO 3 AUTH default anything SETNAME n3
    CLIENT GETNAME
    GET missing
    HELLO
    HELLO 2
    HELLO
    GET missing
    RESET
    CLIENT GETNAME
    GET a
    RESET x
    TIME
    TIME x
    QUIT
  `,
  "unknown commands and arity": `
    FOO
    FOO bar
    foo "a b" 'c' "d\\r\\ne"
    FOO aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b
    FOO aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbb c
    FOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOO x
    "a\\u0000b" c
    "FOO\\r\\nBAR" "x\\u0000y" z
    ""
    "" x
    GET
    GET a b
    CONFIG
    CONFIG NOSUCH
    CONFIG GET
    CONFIG SET a
    CONFIG SET nosuch 1
    CONFIG SET timeout abc
    CONFIG SET timeout 5 timeout 6
    CONFIG SET databases 5
    CONFIG SET timeout 5
    CONFIG GET timeout
    CONFIG SET timeout 0
    CONFIG GET appendonly save
    CONFIG GET SAVE
    CONFIG GET Save appendonly
    CONFIG GET nosuch
    CONFIG RESETSTAT
    CONFIG RESETSTAT x
    COMMAND NOSUCH
    COMMAND COUNT x
    COMMAND INFO nosuch
    COMMAND GETKEYS
    COMMAND GETKEYS nosuch
    COMMAND GETKEYS GET
    COMMAND GETKEYS PING x
    COMMAND GETKEYS GET a
    COMMAND GETKEYS MSET a 1 b 2
    COMMAND GETKEYS DEL a b c
    COMMAND GETKEYS MEMORY USAGE x
    COMMAND GETKEYS MEMORY NOSUCH x
    COMMAND GETKEYS client nosuch x
    COMMAND DOCS nosuch
    COMMAND LIST BOGUS
    COMMAND LIST FILTERBY PATTERN nosuch*
    COMMAND LIST FILTERBY MODULE nosuch
    COMMAND LIST FILTERBY PATTERN expire*
    MEMORY
    MEMORY NOSUCH
    MEMORY USAGE
    MEMORY USAGE missing
    SET k v
    MEMORY USAGE k
    MEMORY USAGE k SAMPLES 5
    MEMORY USAGE k SAMPLES -1
    MEMORY USAGE k SAMPLES x
    MEMORY USAGE k SAMPLES
    MEMORY USAGE k BOGUS 1
    LATENCY
    LATENCY NOSUCH
    LATENCY LATEST
    LATENCY HISTORY x
    LATENCY HISTORY
    LATENCY RESET
    LATENCY RESET a b
  `,
  "COMMAND INFO": `
    COMMAND INFO get set mset del rename scan ping exec watch auth flushdb flushall dbsize info time keys hello
    COMMAND INFO getex setrange incrbyfloat expire pexpiretime unlink touch randomkey select echo quit reset
    COMMAND INFO client config command memory latency client|list config|get memory|usage nosuch|x
  `,
  MULTI: `
    MULTI
    SET a 1
    INCR a
    GET a
    GET missing
    EXEC
    EXEC
    DISCARD
    MULTI
    MULTI
    SET a x
    DISCARD
    GET a
    MULTI
    EXEC
    MULTI
    NOSUCH
    SET a y
    EXEC
    GET a
    MULTI
    GET
    EXEC
    MULTI
    INCR a b
    CLIENT NOSUCH
    EXEC
    SET s text
    MULTI
    INCR s
    SET a 5
    GET a
    EXEC
    MULTI
    SELECT 2
    SET in2 1
    SELECT 0
    EXEC
    GET in2
    MULTI
    CLIENT GETNAME
    SET a 6
    CONFIG GET appendonly
    CLIENT SETNAME x
    CLIENT GETNAME
    GET a
    EXEC
    MULTI
    WATCH a
    SET a 9
    EXEC
    GET a
    MULTI
    PING
    UNWATCH
    ECHO hi
    FLUSHDB
    DBSIZE
    EXEC
    MULTI
    SET q 1
    RESET
    EXEC
    GET q
    MULTI
    HELLO 3
    GET missing
    HELLO 2
    GET missing
    EXEC
    MULTI
    EXEC x
    EXEC
    EXEC x
    MULTI
    KEYS *
    SCAN 0
    MEMORY USAGE nope
    COMMAND COUNT x
    EXEC
    MULTI x
    DISCARD x
    UNWATCH x
    WATCH
    MULTI
    SET a 1
    QUIT
  `,
  "WATCH over two connections": `
    1: SET k 1
    1: WATCH k
    1: MULTI
    1: GET k
    1: EXEC
    1: WATCH k
    2: SET k 2
    1: MULTI
    1: GET k
    1: EXEC
    1: MULTI
    1: GET k
    1: EXEC
    1: WATCH k missing
    2: SET missing 1
    1: MULTI
    1: EXEC
    1: WATCH k
    2: DEL nothing
    2: SET other 1
    2: SELECT 1
    2: SET k other
    2: SELECT 0
    1: MULTI
    1: PING
    1: EXEC
    1: WATCH k
    1: UNWATCH
    2: SET k 3
    1: MULTI
    1: EXEC
    1: WATCH k
    1: SET k 4
    1: MULTI
    1: EXEC
    1: WATCH k
    1: MULTI
    1: DISCARD
    2: SET k 5
    1: MULTI
    1: EXEC
    1: WATCH k
    2: EXPIRE k 100
    1: MULTI
    1: EXEC
    1: WATCH k
    2: PERSIST k
    1: MULTI
    1: EXEC
    1: WATCH k
    2: PERSIST k
    1: MULTI
    1: EXEC
    1: WATCH k
    2: SETRANGE k 0 ""
    2: SETNX k 3
    2: GETEX k
    2: EXPIRE k 5 XX
    1: MULTI
    1: EXEC
    1: WATCH nokey
    2: FLUSHDB
    1: MULTI
    1: EXEC
    1: SET k 1
    1: WATCH k
    2: FLUSHDB
    1: MULTI
    1: EXEC
    1: SET k 1
    1: WATCH k
    2: FLUSHALL
    1: MULTI
    1: EXEC
    1: SET k 1
    1: WATCH k
    2: RENAME k k2
    1: MULTI
    1: EXEC
    1: WATCH k
    2: RENAME k2 k
    1: MULTI
    1: EXEC
    1: WATCH k
    2: DEL k
    2: SET k 1
    1: MULTI
    1: EXEC
    1: SELECT 3
    1: WATCH in3
    2: SET in3 1
    1: MULTI
    1: EXEC
    1: WATCH in3
    2: SELECT 3
    2: SET in3 1
    1: MULTI
    1: EXEC
    1: WATCH a a a b
    2: GETDEL a
    1: MULTI
    1: EXEC
    1: SET a 1
    1: WATCH a
    2: GETDEL a
    1: MULTI
    1: EXEC
  `,
};
