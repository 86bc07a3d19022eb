/* Expiry: when a record's time comes. All moments are milliseconds since 1970; the store keeps them as such.
 */
#include "commands.h"
#include "expire.h"
#include "reply.h"

bool nx_expire_take(const nx_resp *engine, uint32_t *index, bool keep, nx_expire_option *expiry) {
  static const struct {
    const char *word;
    nx_expire_kind kind;
  } options[] = {{"ex", EXPIRY_EX},     {"px", EXPIRY_PX},        {"exat", EXPIRY_EXAT},
                 {"pxat", EXPIRY_PXAT}, {"keepttl", EXPIRY_KEEP}, {"persist", EXPIRY_PERSIST}};
  for (uint32_t option = 0; option < sizeof options / sizeof options[0]; option++) {
    nx_expire_kind kind = options[option].kind;
    if (!nx_word_is(engine->argv[*index], options[option].word)) continue;
    if (kind == (keep ? EXPIRY_PERSIST : EXPIRY_KEEP)) return false;
    if (expiry->kind != EXPIRY_NONE && expiry->kind != kind) return false;
    if (kind > EXPIRY_PERSIST) {
      if (*index + 1 >= engine->argc) return false;
      expiry->amount = engine->argv[++*index];
    }
    expiry->kind = kind;
    return true;
  }
  return false;
}

bool nx_expire_moment(nx_resp *engine, const nx_expire_option *expiry, const char *command,
                      int64_t *expires_at_ms) {
  int64_t moment = 0;
  if (!nx_integer_read(expiry->amount, &moment)) {
    nx_reply_integer_error(engine);
    return false;
  }
  bool in_seconds = expiry->kind == EXPIRY_EX || expiry->kind == EXPIRY_EXAT;
  bool relative = expiry->kind == EXPIRY_EX || expiry->kind == EXPIRY_PX;
  bool valid = moment > 0 && !(in_seconds && __builtin_mul_overflow(moment, 1000, &moment)) &&
               !(relative && __builtin_add_overflow(moment, engine->now_ms, &moment));
  if (!valid) nx_reply_error(engine, "ERR invalid expire time in '%s' command", command);
  *expires_at_ms = moment;
  return valid;
}

typedef struct {
  bool none, existing, greater, less;
} expire_conditions;

static bool read_conditions(nx_resp *engine, expire_conditions *conditions) {
  for (uint32_t index = 3; index < engine->argc; index++) {
    nx_slice word = engine->argv[index];
    if (nx_word_is(word, "nx")) conditions->none = true;
    else if (nx_word_is(word, "xx")) conditions->existing = true;
    else if (nx_word_is(word, "gt")) conditions->greater = true;
    else if (nx_word_is(word, "lt")) conditions->less = true;
    else {
      nx_reply_error(engine, "ERR Unsupported option %.*s", (int)(word.length > 512 ? 512 : word.length),
                     word.data);
      return false;
    }
  }
  if (conditions->none && (conditions->existing || conditions->greater || conditions->less)) {
    nx_reply_error(engine, "ERR NX and XX, GT or LT options at the same time are not compatible");
    return false;
  }
  if (conditions->greater && conditions->less) {
    nx_reply_error(engine, "ERR GT and LT options at the same time are not compatible");
    return false;
  }
  return true;
}

/* No expiry counts as infinitely late. */
static bool conditions_hold(const expire_conditions *conditions, int64_t current, int64_t moment) {
  if (conditions->none && current != 0) return false;
  if (conditions->existing && current == 0) return false;
  if (conditions->greater && (current == 0 || moment <= current)) return false;
  if (conditions->less && current != 0 && moment >= current) return false;
  return true;
}

static void expire_with(nx_resp *engine, nx_resp_connection *connection, bool in_seconds, bool relative,
                        const char *command) {
  expire_conditions conditions = {0};
  if (!read_conditions(engine, &conditions)) return;
  int64_t moment = 0;
  if (!nx_integer_read(engine->argv[2], &moment)) {
    nx_reply_integer_error(engine);
    return;
  }
  if ((in_seconds && __builtin_mul_overflow(moment, 1000, &moment)) ||
      (relative && __builtin_add_overflow(moment, engine->now_ms, &moment))) {
    nx_reply_error(engine, "ERR invalid expire time in '%s' command", command);
    return;
  }
  nx_slice key = engine->argv[1];
  nx_record record;
  if (!nx_find(engine, connection, key, &record) ||
      !conditions_hold(&conditions, record.expires_at_ms, moment)) {
    nx_reply_integer(engine, 0);
    return;
  }
  if (moment <= engine->now_ms) nx_channel_remove(connection->channel, key, engine->now_ms);
  else nx_channel_expire(connection->channel, key, moment, engine->now_ms);
  nx_reply_integer(engine, 1);
}

NX_COMMAND(expire) { expire_with(engine, connection, true, true, "expire"); }
NX_COMMAND(pexpire) { expire_with(engine, connection, false, true, "pexpire"); }
NX_COMMAND(expireat) { expire_with(engine, connection, true, false, "expireat"); }
NX_COMMAND(pexpireat) { expire_with(engine, connection, false, false, "pexpireat"); }

static void reply_moment(nx_resp *engine, nx_resp_connection *connection, bool in_seconds, bool relative) {
  nx_record record;
  int64_t answer = -2;
  if (nx_find_counted(engine, connection, engine->argv[1], &record)) {
    answer = -1;
    if (record.expires_at_ms != 0) {
      answer = record.expires_at_ms;
      if (relative) answer = answer > engine->now_ms ? answer - engine->now_ms : 0;
      if (in_seconds) answer = answer / 1000 + (answer % 1000 >= 500 ? 1 : 0);
    }
  }
  nx_reply_integer(engine, answer);
}

NX_COMMAND(ttl) { reply_moment(engine, connection, true, true); }
NX_COMMAND(pttl) { reply_moment(engine, connection, false, true); }
NX_COMMAND(expiretime) { reply_moment(engine, connection, true, false); }
NX_COMMAND(pexpiretime) { reply_moment(engine, connection, false, false); }

NX_COMMAND(persist) {
  nx_record record;
  bool persists = nx_find(engine, connection, engine->argv[1], &record) && record.expires_at_ms != 0;
  if (persists) nx_channel_expire(connection->channel, engine->argv[1], 0, engine->now_ms);
  nx_reply_integer(engine, persists ? 1 : 0);
}
