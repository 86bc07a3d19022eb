/** Scripts about values, keys and expiry; see scripts.ts. */
export const recordScripts: Record<string, string> = {
  "SET and its options": `
    SET k v
    GET k
    SET k v NX
    SET k w XX
    SET missing w XX
    SET k x GET
    SET new x GET
    SET k y NX GET
    SET other y NX GET
    SET k y XX GET
    SET k v EX 100
    TTL k
    SET k v2 KEEPTTL
    TTL k
    SET k v3
    TTL k
    SET k v PX 100000
    TTL k
    SET k v EXAT 99999999999
    EXPIRETIME k
    SET k v PXAT 99999999999000
    PEXPIRETIME k
    SET k v EXAT 1
    GET k
    SET k v PXAT 1
    EXISTS k
    SET k v EX 0
    SET k v EX -1
    SET k v EX abc
    SET k v PX 9223372036854775807
    SET k v EX 9223372036854775
    SET k v EX 9223372036854775807
    SET k v EXAT 9223372036854775807
    SET k v PXAT 9223372036854775807
    SET k v EX
    SET k v EX 10 PX 10
    SET k v EX 10 EX 20
    SET k v EX 10 KEEPTTL
    SET k v KEEPTTL KEEPTTL
    SET k v PERSIST
    SET k v NX XX
    SET k v XX NX
    SET k v NX NX GET GET
    SET k v bogus
    SET k v ex 100 get nx
    set K v eX 100
    SET k
    SET
    SET "" ""
    GET ""
    SET "bin\\u0000key" "a\\r\\nb"
    GET "bin\\u0000key"
  `,
  "GETSET GETDEL GETEX SETNX SETEX PSETEX": `
    GETSET a 1
    GETSET a 2
    EXPIRE a 100
    GETSET a 3
    TTL a
    GETDEL a
    GETDEL a
    SETNX a 1
    SETNX a 2
    GET a
    SETEX a 100 v
    TTL a
    SETEX a 0 v
    SETEX a -5 v
    SETEX a x v
    SETEX a 9223372036854775807 v
    PSETEX a 100000 v
    TTL a
    PSETEX a 0 v
    PSETEX a 9223372036854775807 v
    GETEX a
    TTL a
    GETEX a EX 50
    TTL a
    GETEX a PX 60000
    TTL a
    GETEX a EXAT 99999999999
    EXPIRETIME a
    GETEX a PXAT 99999999999000
    PEXPIRETIME a
    GETEX a PERSIST
    TTL a
    GETEX a PERSIST
    GETEX a EX 0
    GETEX a EX x
    GETEX a EX
    GETEX a EX 10 PERSIST
    GETEX a KEEPTTL
    GETEX a NX
    GETEX missing EX 0
    GETEX missing EX 10
    GETEX missing bogus
    GETEX a PXAT 1
    GET a
    SETNX a
    SETEX a 1
    GETSET a
  `,
  "MSET MSETNX MGET": `
    MSET a 1 b 2 a 3
    MGET a b c a
    MSET a
    MSET a 1 b
    MSETNX c 1 a 2
    MGET c a
    MSETNX c 1 d 2 c 3
    MGET c d
    MSETNX e 1 f
    MSETNX e
    MGET
    EXPIRE a 100
    MSET a 5
    TTL a
  `,
  "APPEND STRLEN GETRANGE SETRANGE": `
    APPEND a hello
    APPEND a ""
    APPEND a " world"
    GET a
    APPEND empty ""
    EXISTS empty
    STRLEN a
    STRLEN missing
    STRLEN empty
    GETRANGE a 0 4
    GETRANGE a 0 -1
    GETRANGE a -5 -1
    GETRANGE a -1 -5
    GETRANGE a 5 3
    GETRANGE a 100 200
    GETRANGE a -100 3
    GETRANGE a -100 -100
    GETRANGE a 0 -100
    GETRANGE a 0 9223372036854775807
    GETRANGE a -9223372036854775808 9223372036854775807
    GETRANGE empty 0 0
    GETRANGE empty 0 -1
    GETRANGE missing 0 -1
    GETRANGE a x 1
    GETRANGE a 0 x
    SUBSTR a 0 3
    SETRANGE a 6 WORLD
    GET a
    SETRANGE a 0 ""
    SETRANGE missing 0 ""
    EXISTS missing
    SETRANGE missing 5 x
    GET missing
    SETRANGE a 20 tail
    GET a
    SETRANGE a -1 x
    SETRANGE a x x
    SETRANGE a 536870912 x
    SETRANGE a 9223372036854775807 x
    SETRANGE nope 9223372036854775807 ""
    SETRANGE a -1 ""
    EXPIRE a 100
    APPEND a !
    TTL a
    SETRANGE a 0 H
    TTL a
  `,
  counters: `
    INCR n
    INCR n
    DECR n
    INCRBY n 40
    DECRBY n 2
    GET n
    EXPIRE n 100
    INCR n
    TTL n
    SET n 9223372036854775807
    INCR n
    DECR n
    SET n -9223372036854775808
    DECR n
    INCRBY n -1
    DECRBY n -9223372036854775808
    DECRBY n 9223372036854775807
    INCRBY n 9223372036854775807
    INCRBY n x
    INCRBY n 1.5
    INCRBY n " 1"
    INCRBY n +1
    INCRBY n 01
    INCRBY n -0
    INCRBY n ""
    INCRBY n 9223372036854775808
    SET n abc
    INCR n
    SET n " 1"
    INCR n
    SET n 1.5
    INCR n
    SET n ""
    INCR n
    SET n 007
    INCR n
    INCR
    INCR a b
    INCRBY n
  `,
  INCRBYFLOAT: `
    INCRBYFLOAT f 1.5
    INCRBYFLOAT f 0.1
    INCRBYFLOAT f -1.6
    INCRBYFLOAT f 3.0e3
    INCRBYFLOAT f 5e-18
    INCRBYFLOAT f 1e17
    INCRBYFLOAT f 0x10
    INCRBYFLOAT f abc
    INCRBYFLOAT f ""
    INCRBYFLOAT f " 1"
    INCRBYFLOAT f "1 "
    INCRBYFLOAT f inf
    INCRBYFLOAT f -inf
    INCRBYFLOAT f nan
    INCRBYFLOAT f 1e4932
    INCRBYFLOAT f 1e5000
    INCRBYFLOAT f 1e-5000
    SET g 0.1
    INCRBYFLOAT g 0.2
    INCRBYFLOAT g 1e300
    INCRBYFLOAT g -1e300
    SET g -0.0
    INCRBYFLOAT g 0
    INCRBYFLOAT g -0
    SET g 10.50
    INCRBYFLOAT g 0.1
    SET g 3
    INCRBYFLOAT g 1
    EXPIRE g 100
    INCRBYFLOAT g 1.25
    TTL g
    SET g text
    INCRBYFLOAT g 1
    SET g "1.0000000000000000000000000000000000000000000001"
    INCRBYFLOAT g 1
    SET g 1e4930
    INCRBYFLOAT g 9e4931
  `,
  "keys: DEL EXISTS TYPE RENAME TOUCH": `
    MSET a 1 b 2 c 3
    EXISTS a b x a
    TOUCH a b x
    TYPE a
    TYPE x
    DEL a x a
    UNLINK b x
    DBSIZE
    RENAME c d
    RENAME c d
    RENAME d d
    RENAMENX d d
    SET e 5
    EXPIRE e 100
    RENAMENX d e
    RENAME e d
    TTL d
    GET d
    RENAMENX d f
    RENAMENX nope g
    DEL
    EXISTS
    RENAME a
    TOUCH
    DBSIZE
    FLUSHDB
    DBSIZE
    FLUSHDB ASYNC
    FLUSHDB SYNC
    FLUSHDB bogus
    FLUSHDB SYNC ASYNC
    FLUSHALL
    FLUSHALL async
    FLUSHALL x
    RANDOMKEY
    SCAN -1 COUNT 1000
    SET only 1
    RANDOMKEY
    RANDOMKEY x
    KEYS
    SCAN
    SCAN x
    SCAN -
    SCAN 0 COUNT
    SCAN 0 COUNT 0
    SCAN 0 COUNT x
    SCAN 0 BOGUS 1
    SCAN 0 MATCH
    SCAN 0
    SCAN 0 MATCH nothing COUNT 1000
    SCAN 0 TYPE string
    SCAN 0 TYPE list
    SCAN 0 TYPE nonsense
    SCAN 99999999999999999999999
    SCAN ""
    SCAN -0 COUNT 1000
    SCAN +0 COUNT 1000
    SCAN +
    SCAN " 0"
    SCAN -99999999999999999999999
    SCAN "" BOGUS 1
  `,
  expiry: `
    EXPIRE missing 10
    SET k v
    EXPIRE k 100
    TTL k
    EXPIRE k 200 NX
    EXPIRE k 200 XX
    TTL k
    EXPIRE k 100 GT
    EXPIRE k 300 GT
    EXPIRE k 400 LT
    EXPIRE k 50 LT
    TTL k
    PERSIST k
    PERSIST k
    PERSIST missing
    EXPIRE k 100 XX
    EXPIRE k 110 GT
    EXPIRE k 90 LT
    PERSIST k
    EXPIRE k 100 NX
    EXPIRE k 100 NX XX
    EXPIRE k 100 NX GT
    EXPIRE k 100 GT LT
    EXPIRE k 50 XX GT
    EXPIRE k 100 xx gt lt
    EXPIRE k 100 bogus
    EXPIRE k x bogus
    EXPIRE k x
    EXPIRE k 9223372036854775807
    EXPIRE k -9223372036854775807
    EXPIRE k 9223372036854775
    PEXPIRE k 9223372036854775807
    PEXPIRE k 9223372036854775000
    EXPIREAT k 9223372036854775807
    PEXPIREAT k 9223372036854775807
    PEXPIRETIME k
    EXPIRETIME k
    PEXPIREAT k 99999999999499
    EXPIRETIME k
    PEXPIREAT k 99999999999500
    EXPIRETIME k
    EXPIREAT k 99999999999
    EXPIRETIME k
    PEXPIRETIME k
    TTL missing
    PTTL missing
    EXPIRETIME missing
    PEXPIRETIME missing
    PERSIST k
    TTL k
    PTTL k
    EXPIRETIME k
    PEXPIRETIME k
    EXPIRE k 0
    EXISTS k
    SET k v
    EXPIRE k -1
    EXISTS k
    SET k v
    PEXPIREAT k 1
    EXISTS k
    SET k v
    EXPIREAT k 0
    EXISTS k
    SET k v
    EXPIRE k -1 GT
    EXPIRE k -1 LT
    EXISTS k
    EXPIRE k
    EXPIRE
    TTL
    PERSIST
  `,
};
