/* Lists: pushing, taking, looking, trimming. A push of several elements stores all of them or none. */
#include <errno.h>

#include "commands.h"
#include "resp/number.h"

void nx_reply_wrong_type(nx_resp *engine) {
  nx_reply_error(engine, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void nx_reply_no_room(nx_resp *engine, int error) {
  if (error == -ENOMEM) nx_reply_error(engine, "OOM command not allowed when used memory > 'maxmemory'.");
  else nx_reply_error(engine, "OOM the channel is full: its ring has no room for this");
}

bool nx_read_integer(nx_resp *engine, nx_slice text, int64_t *value) {
  if (nx_integer_read(text, value)) return true;
  nx_reply_integer_error(engine);
  return false;
}

bool nx_read_count(nx_resp *engine, nx_slice text, int64_t *value) {
  if (nx_integer_read(text, value) && *value >= 0) return true;
  nx_reply_error(engine, "ERR value is out of range, must be positive");
  return false;
}

bool nx_list_find(nx_resp *engine, nx_slice key, nx_queue **queue) {
  nx_queue *found = nx_queue_find(engine->queues, key);
  *queue = NULL;
  if (found == NULL) return true;
  if (found->kind != NX_QUEUE_LIST) {
    /* Who waits for a list goes on waiting when something else takes its name. */
    if (nx_is_again(engine)) return true;
    nx_reply_wrong_type(engine);
    return false;
  }
  if (found->ring.count > 0 || found->storage_count > 0) *queue = found;
  return true;
}

bool nx_key_may_be_made(nx_resp *engine, nx_slice key) {
  if (nx_queue_find(engine->queues, key) == NULL && !nx_queues_have_place(engine->queues)) {
    nx_reply_error(engine, "OOM there are %u channels, and no more are allowed (limits.channelsMax)",
                   nx_queues_count(engine->queues));
    return false;
  }
  if (key.length <= NX_QUEUE_NAME_BYTES_MAX && memchr(key.data, 0, key.length) == NULL) return true;
  nx_reply_error(engine, "ERR a channel's name has at most %u bytes, none of them zero", NX_QUEUE_NAME_BYTES_MAX);
  return false;
}

static void push(nx_resp *engine, nx_queue *queue, nx_queue_end end) {
  uint64_t effects_length = nx_queues_effects(engine->queues)->length;
  for (uint32_t index = 2; index < engine->argc; index++) {
    int error = nx_queue_push(queue, engine->argv[index], end);
    if (error == 0) continue;
    if (!nx_queue_has_subscribers(queue) && !nx_queues_drops_oldest(engine->queues))
      nx_queue_undo(queue, end, index - 2, effects_length);
    nx_reply_no_room(engine, error);
    return;
  }
  nx_reply_integer(engine, (int64_t)nx_queue_length(queue));
}

static void push_command(nx_resp *engine, nx_queue_end end, bool only_existing) {
  nx_slice key = engine->argv[1];
  nx_queue *queue;
  if (!nx_list_find(engine, key, &queue)) return;
  if (queue == NULL && only_existing) {
    nx_reply_integer(engine, 0);
    return;
  }
  if (queue == NULL) {
    if (!nx_key_may_be_made(engine, key)) return;
    queue = nx_queue_open(engine->queues, key, NX_QUEUE_LIST);
  }
  push(engine, queue, end);
}

NX_QUEUE_COMMAND(lpush) {
  (void)connection;
  push_command(engine, NX_FRONT, false);
}

NX_QUEUE_COMMAND(rpush) {
  (void)connection;
  push_command(engine, NX_BACK, false);
}

NX_QUEUE_COMMAND(lpushx) {
  (void)connection;
  push_command(engine, NX_FRONT, true);
}

NX_QUEUE_COMMAND(rpushx) {
  (void)connection;
  push_command(engine, NX_BACK, true);
}

static nx_slice element(const nx_queue *queue, nx_queue_end end, uint64_t index) {
  return nx_ring_at(&queue->ring, end == NX_FRONT ? index : queue->ring.count - 1 - index);
}

/* What is taken is in the reply before it goes; a reply that is too long takes nothing. */
static void pop_many(nx_resp *engine, nx_queue *queue, nx_queue_end end, uint64_t count) {
  if (count > queue->ring.count) count = queue->ring.count;
  nx_reply_array(engine, count);
  for (uint64_t index = 0; index < count && !engine->reply_too_large; index++)
    nx_reply_bulk(engine, element(queue, end, index));
  if (!engine->reply_too_large) nx_queue_drop(queue, end, count);
}

static void pop_command(nx_resp *engine, nx_resp_connection *connection, nx_queue_end end) {
  int64_t count = 0;
  bool has_count = engine->argc == 3;
  if (engine->argc > 3) {
    nx_reply_error(engine, "ERR wrong number of arguments for '%s' command", end == NX_FRONT ? "lpop" : "rpop");
    return;
  }
  if (has_count && !nx_read_count(engine, engine->argv[2], &count)) return;
  nx_queue *queue;
  if (!nx_list_find(engine, engine->argv[1], &queue)) return;
  if (queue == NULL || queue->ring.count == 0) {
    if (has_count) nx_reply_null_array(engine, connection);
    else nx_reply_null(engine, connection);
  } else if (has_count) {
    pop_many(engine, queue, end, (uint64_t)count);
  } else {
    nx_reply_bulk(engine, element(queue, end, 0));
    if (!engine->reply_too_large) nx_queue_drop(queue, end, 1);
  }
}

NX_QUEUE_COMMAND(lpop) { pop_command(engine, connection, NX_FRONT); }
NX_QUEUE_COMMAND(rpop) { pop_command(engine, connection, NX_BACK); }

NX_QUEUE_COMMAND(llen) {
  (void)connection;
  nx_queue *queue;
  if (!nx_list_find(engine, engine->argv[1], &queue)) return;
  nx_reply_integer(engine, queue == NULL ? 0 : (int64_t)nx_queue_length(queue));
}

/* The records from *start to *end, both counted from the front; false when there are none. */
static bool clip(uint64_t length, int64_t *start, int64_t *end) {
  if (*start < 0) *start += (int64_t)length;
  if (*end < 0) *end += (int64_t)length;
  if (*start < 0) *start = 0;
  if (*start > *end || *start >= (int64_t)length) return false;
  if (*end >= (int64_t)length) *end = (int64_t)length - 1;
  return true;
}

NX_QUEUE_COMMAND(lrange) {
  (void)connection;
  int64_t start, end;
  nx_queue *queue;
  if (!nx_read_integer(engine, engine->argv[2], &start)) return;
  if (!nx_read_integer(engine, engine->argv[3], &end)) return;
  if (!nx_list_find(engine, engine->argv[1], &queue)) return;
  if (queue == NULL || !clip(nx_queue_length(queue), &start, &end)) {
    nx_reply_array(engine, 0);
    return;
  }
  nx_reply_array(engine, (uint64_t)(end - start + 1));
  for (int64_t index = start; index <= end && !engine->reply_too_large; index++)
    nx_reply_bulk(engine, nx_ring_at(&queue->ring, (uint64_t)index));
}

NX_QUEUE_COMMAND(lindex) {
  int64_t index;
  nx_queue *queue;
  if (!nx_list_find(engine, engine->argv[1], &queue)) return;
  if (queue == NULL) {
    nx_reply_null(engine, connection);
    return;
  }
  if (!nx_read_integer(engine, engine->argv[2], &index)) return;
  if (index < 0) index += (int64_t)nx_queue_length(queue);
  if (index < 0 || index >= (int64_t)nx_queue_length(queue)) nx_reply_null(engine, connection);
  else nx_reply_bulk(engine, nx_ring_at(&queue->ring, (uint64_t)index));
}

NX_QUEUE_COMMAND(ltrim) {
  (void)connection;
  int64_t start, end;
  nx_queue *queue;
  if (!nx_read_integer(engine, engine->argv[2], &start)) return;
  if (!nx_read_integer(engine, engine->argv[3], &end)) return;
  if (!nx_list_find(engine, engine->argv[1], &queue)) return;
  if (queue != NULL) {
    uint64_t length = nx_queue_length(queue);
    if (clip(length, &start, &end)) {
      nx_queue_drop(queue, NX_BACK, length - 1 - (uint64_t)end);
      nx_queue_drop(queue, NX_FRONT, (uint64_t)start);
    } else {
      nx_queue_drop(queue, NX_FRONT, length);
    }
  }
  nx_reply_ok(engine);
}
