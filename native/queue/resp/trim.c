/*
 * MAXLEN and MINID. An approximate trim (`~`) is done exactly: the ring has no nodes that would have to be kept whole.
 * LIMIT holds as the most entries that go.
 */
#include "commands.h"

bool nx_trim_read(nx_resp *engine, uint32_t *at, nx_trim *trim, bool *is_option) {
  nx_slice word = engine->argv[*at];
  uint32_t more = engine->argc - 1 - *at;
  *is_option = true;
  bool is_length = nx_word_is(word, "maxlen"), is_id = nx_word_is(word, "minid");
  if ((is_length || is_id) && more > 0) {
    if (trim->by != NX_TRIM_NOT) {
      nx_reply_error(engine, "ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
      return false;
    }
    nx_slice next = engine->argv[*at + 1];
    trim->is_approximate = false;
    if (more >= 2 && next.length == 1 && (next.data[0] == '~' || next.data[0] == '=')) {
      trim->is_approximate = next.data[0] == '~';
      *at += 1;
      next = engine->argv[*at + 1];
    }
    *at += 2;
    trim->by = is_length ? NX_TRIM_LENGTH : NX_TRIM_ID;
    if (is_id) return nx_read_id(engine, next, false, 0, &trim->id);
    int64_t length;
    if (!nx_read_integer(engine, next, &length)) return false;
    trim->length = (uint64_t)length;
    if (length >= 0) return true;
    nx_reply_error(engine, "ERR The MAXLEN argument must be >= 0.");
    return false;
  }
  if (nx_word_is(word, "limit") && more > 0) {
    if (!nx_read_integer(engine, engine->argv[*at + 1], &trim->limit)) return false;
    if (trim->limit < 0) {
      nx_reply_error(engine, "ERR The LIMIT argument must be >= 0.");
      return false;
    }
    trim->has_limit = true;
    *at += 2;
    return true;
  }
  *is_option = false;
  return true;
}

bool nx_trim_check(nx_resp *engine, const nx_trim *trim) {
  if (!trim->has_limit) return true;
  if (trim->limit != 0 && trim->by == NX_TRIM_NOT) {
    nx_reply_error(engine, "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
    return false;
  }
  if (!trim->is_approximate) {
    nx_reply_error(engine, "ERR syntax error, LIMIT cannot be used without the special ~ option");
    return false;
  }
  return true;
}

uint64_t nx_trim_apply(nx_queue *queue, const nx_trim *trim) {
  uint64_t count = 0;
  if (trim->by == NX_TRIM_LENGTH) {
    if (queue->stream->length > trim->length) count = queue->stream->length - trim->length;
  } else if (trim->by == NX_TRIM_ID) {
    uint64_t end = nx_stream_lower(queue, trim->id);
    for (uint64_t index = 0; index < end; index++) count += !nx_stream_at(queue, index).is_deleted;
  }
  if (trim->has_limit && trim->limit != 0 && count > (uint64_t)trim->limit) count = (uint64_t)trim->limit;
  nx_stream_trim(queue, count);
  return count;
}
