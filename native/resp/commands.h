/* The command functions that table.c names. Each appends exactly one reply. */
#ifndef NX_RESP_COMMANDS_H
#define NX_RESP_COMMANDS_H
#include "engine.h"

#define NX_COMMAND(name) void nx_command_##name(nx_resp *engine, nx_resp_connection *connection)

/* strings.c */
NX_COMMAND(set);
NX_COMMAND(setnx);
NX_COMMAND(setex);
NX_COMMAND(psetex);
NX_COMMAND(get);
NX_COMMAND(getset);
NX_COMMAND(getdel);
NX_COMMAND(getex);
NX_COMMAND(mget);
NX_COMMAND(mset);
NX_COMMAND(msetnx);
/* edit.c */
NX_COMMAND(append);
NX_COMMAND(strlen);
NX_COMMAND(getrange);
NX_COMMAND(setrange);
NX_COMMAND(incr);
NX_COMMAND(decr);
NX_COMMAND(incrby);
NX_COMMAND(decrby);
NX_COMMAND(incrbyfloat);
/* keys.c */
NX_COMMAND(del);
NX_COMMAND(exists);
NX_COMMAND(touch);
NX_COMMAND(type);
NX_COMMAND(rename);
NX_COMMAND(renamenx);
NX_COMMAND(randomkey);
NX_COMMAND(keys);
NX_COMMAND(scan);
NX_COMMAND(dbsize);
NX_COMMAND(flushdb);
NX_COMMAND(flushall);
NX_COMMAND(memory_usage);
/* MEMORY USAGE key [SAMPLES count]: nothing is sampled here, the words are only checked. False: the error is replied. */
bool nx_read_samples(nx_resp *engine);
/* expire.c */
NX_COMMAND(expire);
NX_COMMAND(pexpire);
NX_COMMAND(expireat);
NX_COMMAND(pexpireat);
NX_COMMAND(ttl);
NX_COMMAND(pttl);
NX_COMMAND(expiretime);
NX_COMMAND(pexpiretime);
NX_COMMAND(persist);
/* session.c */
NX_COMMAND(ping);
NX_COMMAND(echo);
NX_COMMAND(select);
NX_COMMAND(time);
NX_COMMAND(quit);
/* transaction.c */
NX_COMMAND(multi);
NX_COMMAND(exec);
NX_COMMAND(discard);
NX_COMMAND(watch);
NX_COMMAND(unwatch);

#endif
