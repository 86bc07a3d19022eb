/* See rq.h. */
#include "rq.h"

#include <errno.h>

#include "internal.h"

#define HEADER_BYTES 12u

void nx_rq_write(const nx_queue *queue, nx_buffer *out) {
  NX_ASSERT(queue->kind == NX_QUEUE_LIST && queue->ring.count <= UINT32_MAX);
  nx_buffer_reserve(out, HEADER_BYTES + queue->ring.used);
  uint8_t *at = out->data + out->length;
  nx_store32(at, (uint32_t)queue->ring.count);
  nx_store64(at + 4, queue->ring.used);
  at += HEADER_BYTES;
  for (uint64_t index = 0; index < queue->ring.count; index++) {
    nx_slice record = nx_ring_at(&queue->ring, index);
    nx_store64(at, record.length);
    nx_copy(at + 8, record.data, record.length);
    at += 8 + record.length;
  }
  out->length += HEADER_BYTES + queue->ring.used;
}

/* The record at *at, which moves behind it; false when the file ends within it. */
static bool next_record(const uint8_t *bytes, uint64_t length, uint64_t *at, nx_slice *record) {
  if (length - *at < 8) return false;
  record->length = nx_load64(bytes + *at);
  *at += 8;
  if (length - *at < record->length) return false;
  record->data = bytes + *at;
  *at += record->length;
  return true;
}

static bool adds_up(const uint8_t *bytes, uint64_t length) {
  if (length < HEADER_BYTES || nx_load64(bytes + 4) != length - HEADER_BYTES) return false;
  uint64_t at = HEADER_BYTES;
  nx_slice record;
  for (uint32_t left = nx_load32(bytes); left > 0; left--)
    if (!next_record(bytes, length, &at, &record)) return false;
  return at == length;
}

int nx_rq_read(nx_queue *queue, const uint8_t *bytes, uint64_t length) {
  if (!adds_up(bytes, length)) return -EBADMSG;
  uint64_t at = HEADER_BYTES;
  nx_slice record;
  while (at < length && next_record(bytes, length, &at, &record)) {
    int error = nx_queue_push(queue, record, NX_BACK);
    if (error != 0) return error;
  }
  return 0;
}
