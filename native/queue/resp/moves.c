/*
 * Lists: commands that wait for an element, and those that move one to another list.
 *
 * An element that is moved is pushed first and dropped where it came from then; if it finds no room it stays. Both
 * effects are in one run, and the log keeps a run whole.
 */
#include <errno.h>
#include <math.h>

#include "commands.h"
#include "resp/number.h"

/* A timeout in seconds; *deadline_ms is 0 for "for ever". */
static bool read_timeout(nx_resp *engine, nx_slice text, double *deadline_ms) {
  long double seconds;
  if (!nx_float_read(text, &seconds)) {
    nx_reply_error(engine, "ERR timeout is not a float or out of range");
    return false;
  }
  if (seconds < 0) {
    nx_reply_error(engine, "ERR timeout is negative");
    return false;
  }
  long double ms = ceill(seconds * 1000);
  if (ms > (long double)(INT64_MAX - engine->now_ms)) {
    /* What does not even fit an integer, Redis takes for a negative one. */
    nx_reply_error(engine, ms > (long double)INT64_MAX ? "ERR timeout is negative" : "ERR timeout is out of range");
    return false;
  }
  *deadline_ms = seconds == 0 ? 0 : (double)engine->now_ms + (double)ms;
  return true;
}

static void pop_or_wait(nx_resp *engine, nx_resp_connection *connection, nx_queue_end end) {
  uint32_t keys_end = engine->argc - 1;
  double deadline_ms;
  if (!read_timeout(engine, engine->argv[keys_end], &deadline_ms)) return;
  for (uint32_t index = 1; index < keys_end; index++) {
    nx_slice key = engine->argv[index];
    nx_queue *queue;
    if (nx_is_passed_over(engine, key)) continue;
    if (!nx_list_find(engine, key, &queue)) return;
    if (queue == NULL || queue->ring.count == 0) continue;
    nx_reply_array(engine, 2);
    nx_reply_bulk(engine, key);
    nx_reply_bulk(engine, nx_ring_at(&queue->ring, end == NX_FRONT ? 0 : queue->ring.count - 1));
    if (!engine->reply_too_large) nx_queue_drop(queue, end, 1);
    return;
  }
  if (nx_may_wait(engine, connection)) nx_wait(engine, connection, engine->argv + 1, keys_end - 1, deadline_ms);
  else nx_reply_null_array(engine, connection);
}

NX_QUEUE_COMMAND(blpop) { pop_or_wait(engine, connection, NX_FRONT); }
NX_QUEUE_COMMAND(brpop) { pop_or_wait(engine, connection, NX_BACK); }

static bool read_end(nx_resp *engine, nx_slice word, nx_queue_end *end) {
  if (nx_word_is(word, "left")) *end = NX_FRONT;
  else if (nx_word_is(word, "right")) *end = NX_BACK;
  else {
    nx_reply_syntax_error(engine);
    return false;
  }
  return true;
}

/* Within one list: taken off first, so that a full ring can turn round. */
static int move_within(nx_queue *queue, nx_queue_end from, nx_queue_end to, nx_slice value) {
  uint8_t *copy = NULL;
  nx_buffer kept = {0};
  nx_buffer_append(&kept, value.data, value.length);
  copy = kept.data;
  nx_queue_drop(queue, from, 1);
  int error = nx_queue_push(queue, (nx_slice){copy, kept.length}, to);
  if (error != 0) NX_ASSERT(nx_queue_push(queue, (nx_slice){copy, kept.length}, from) == 0);
  nx_buffer_free(&kept);
  return error;
}

/* Moves one element and replies it; false when the source has none. */
static bool move(nx_resp *engine, nx_queue_end from, nx_queue_end to) {
  nx_queue *source, *target;
  if (!nx_list_find(engine, engine->argv[1], &source)) return true;
  if (source == NULL || source->ring.count == 0) return false;
  if (!nx_list_find(engine, engine->argv[2], &target)) return true;
  if (target == NULL && !nx_key_may_be_made(engine, engine->argv[2])) return true;
  if (target == NULL) target = nx_queue_open(engine->queues, engine->argv[2], NX_QUEUE_LIST);
  nx_slice value = nx_ring_at(&source->ring, from == NX_FRONT ? 0 : source->ring.count - 1);
  uint64_t reply_start = engine->replies.length;
  nx_reply_bulk(engine, value);
  if (engine->reply_too_large) return true;
  int error;
  if (target == source) {
    error = move_within(source, from, to, value);
  } else {
    error = nx_queue_push(target, value, to);
    if (error == 0) nx_queue_drop(source, from, 1);
  }
  if (error != 0) {
    engine->replies.length = reply_start;
    nx_reply_no_room(engine, error);
  }
  return true;
}

NX_QUEUE_COMMAND(lmove) {
  nx_queue_end from, to;
  if (!read_end(engine, engine->argv[3], &from) || !read_end(engine, engine->argv[4], &to)) return;
  if (!move(engine, from, to)) nx_reply_null(engine, connection);
}

NX_QUEUE_COMMAND(rpoplpush) {
  if (!move(engine, NX_BACK, NX_FRONT)) nx_reply_null(engine, connection);
}

static void move_or_wait(nx_resp *engine, nx_resp_connection *connection, nx_queue_end from, nx_queue_end to,
                         nx_slice timeout) {
  double deadline_ms;
  if (!read_timeout(engine, timeout, &deadline_ms)) return;
  if (move(engine, from, to)) return;
  if (nx_may_wait(engine, connection)) nx_wait(engine, connection, engine->argv + 1, 1, deadline_ms);
  else nx_reply_null(engine, connection);
}

NX_QUEUE_COMMAND(blmove) {
  nx_queue_end from, to;
  if (!read_end(engine, engine->argv[3], &from) || !read_end(engine, engine->argv[4], &to)) return;
  move_or_wait(engine, connection, from, to, engine->argv[5]);
}

NX_QUEUE_COMMAND(brpoplpush) { move_or_wait(engine, connection, NX_BACK, NX_FRONT, engine->argv[3]); }
