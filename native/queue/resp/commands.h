/*
 * What the Redis commands of a queue node share. A channel's name is the key; a channel without records that is no
 * stream does not exist for these commands, whoever keeps it.
 */
#ifndef NX_QUEUE_RESP_COMMANDS_H
#define NX_QUEUE_RESP_COMMANDS_H
#include "queue/stream.h"
#include "resp/engine.h"
#include "resp/reply.h"
#include "resp/waiting.h"

#define NX_QUEUE_COMMAND(name) \
  void nx_queue_command_##name(nx_resp *engine, nx_resp_connection *connection)

/* The channel as a list, NULL when there is none; false when it is of another kind, which is then replied. */
bool nx_list_find(nx_resp *engine, nx_slice key, nx_queue **queue);
/* The channel as a stream, likewise. */
bool nx_stream_of_key(nx_resp *engine, nx_slice key, nx_queue **queue);
/* Whether the name may be given to a channel; if not, the error is replied. */
bool nx_key_may_be_made(nx_resp *engine, nx_slice key);
void nx_reply_wrong_type(nx_resp *engine);
/* -ENOSPC or -ENOMEM of a push. */
void nx_reply_no_room(nx_resp *engine, int error);
/* A map in RESP3, its members in a flat array in RESP2. */
static inline void nx_reply_map(nx_resp *engine, const nx_resp_connection *connection, uint64_t pairs) {
  if (connection->protocol == 3) nx_reply_number(engine, '%', (int64_t)pairs);
  else nx_reply_array(engine, pairs * 2);
}
#define nx_reply_word(engine, text) \
  nx_reply_bulk(engine, (nx_slice){(const uint8_t *)(text), sizeof(text) - 1})
/* An integer, or the error that Redis answers for what is none. */
bool nx_read_integer(nx_resp *engine, nx_slice text, int64_t *value);
/* Like it, for what must not be negative. */
bool nx_read_count(nx_resp *engine, nx_slice text, int64_t *value);

/* ids.c */
#define NX_ID_TEXT_MAX 41u
void nx_reply_id(nx_resp *engine, nx_stream_id id);
/* `missing` is the sequence of an id without one. With `is_open` also `-` and `+`. Replies the error. */
bool nx_read_id(nx_resp *engine, nx_slice text, bool is_open, uint64_t missing, nx_stream_id *id);
bool nx_is_id(nx_slice text);
/* An end of a range: an id, `-`, `+`, or one behind `(`. */
bool nx_read_bound(nx_resp *engine, nx_slice text, bool is_start, nx_stream_id *id);
/* Whether the entry fits the reply as it is. Commands that hand entries out end where one does not, as if fewer had been
 * asked for: what is not shown stays as it was. */
bool nx_entry_fits(const nx_resp *engine, const nx_entry *entry);
/* Id and strings of an entry. */
void nx_reply_entry(nx_resp *engine, const nx_entry *entry);
#define NX_ID_MAX ((nx_stream_id){UINT64_MAX, UINT64_MAX})

/* trim.c: MAXLEN and MINID of XADD and XTRIM. */
typedef struct {
  enum { NX_TRIM_NOT, NX_TRIM_LENGTH, NX_TRIM_ID } by;
  uint64_t length;
  nx_stream_id id;
  bool is_approximate;
  bool has_limit;
  int64_t limit;
} nx_trim;
/* Reads the option at argument *at, if there is one, and steps behind it. False: the error is replied. */
bool nx_trim_read(nx_resp *engine, uint32_t *at, nx_trim *trim, bool *is_option);
bool nx_trim_check(nx_resp *engine, const nx_trim *trim);
/* How many entries went. */
uint64_t nx_trim_apply(nx_queue *queue, const nx_trim *trim);

/* lists.c */
NX_QUEUE_COMMAND(lpush);
NX_QUEUE_COMMAND(rpush);
NX_QUEUE_COMMAND(lpushx);
NX_QUEUE_COMMAND(rpushx);
NX_QUEUE_COMMAND(lpop);
NX_QUEUE_COMMAND(rpop);
NX_QUEUE_COMMAND(llen);
NX_QUEUE_COMMAND(lrange);
NX_QUEUE_COMMAND(lindex);
NX_QUEUE_COMMAND(ltrim);
/* moves.c */
NX_QUEUE_COMMAND(blpop);
NX_QUEUE_COMMAND(brpop);
NX_QUEUE_COMMAND(lmove);
NX_QUEUE_COMMAND(rpoplpush);
NX_QUEUE_COMMAND(blmove);
NX_QUEUE_COMMAND(brpoplpush);
/* keys.c */
NX_QUEUE_COMMAND(del);
NX_QUEUE_COMMAND(exists);
NX_QUEUE_COMMAND(type);
NX_QUEUE_COMMAND(ttl);
NX_QUEUE_COMMAND(keys);
NX_QUEUE_COMMAND(scan);
NX_QUEUE_COMMAND(dbsize);
NX_QUEUE_COMMAND(randomkey);
NX_QUEUE_COMMAND(flush);
NX_QUEUE_COMMAND(select);
NX_QUEUE_COMMAND(memory_usage);
/* streams.c */
NX_QUEUE_COMMAND(xadd);
NX_QUEUE_COMMAND(xlen);
NX_QUEUE_COMMAND(xrange);
NX_QUEUE_COMMAND(xrevrange);
NX_QUEUE_COMMAND(xdel);
NX_QUEUE_COMMAND(xtrim);
NX_QUEUE_COMMAND(xsetid);
/* read.c */
NX_QUEUE_COMMAND(xread);
NX_QUEUE_COMMAND(xreadgroup);
/* groups.c */
NX_QUEUE_COMMAND(xgroup_create);
NX_QUEUE_COMMAND(xgroup_setid);
NX_QUEUE_COMMAND(xgroup_destroy);
NX_QUEUE_COMMAND(xgroup_createconsumer);
NX_QUEUE_COMMAND(xgroup_delconsumer);
NX_QUEUE_COMMAND(xgroup_help);
NX_QUEUE_COMMAND(xack);
NX_QUEUE_COMMAND(xpending);
/* claim.c */
NX_QUEUE_COMMAND(xclaim);
NX_QUEUE_COMMAND(xautoclaim);
/* xinfo.c */
NX_QUEUE_COMMAND(xinfo_stream);
NX_QUEUE_COMMAND(xinfo_groups);
NX_QUEUE_COMMAND(xinfo_consumers);
NX_QUEUE_COMMAND(xinfo_help);

#endif
