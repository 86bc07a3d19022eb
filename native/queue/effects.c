/* The codec of effects.h. Reading trusts nothing: every length is checked before it is used. */
#include "effects.h"

#include <errno.h>

uint8_t *nx_effect_begin(nx_buffer *to, nx_queue_operation operation, uint8_t kind, uint64_t number,
                         nx_slice name, uint64_t value_length) {
  NX_ASSERT(name.length <= UINT16_MAX && value_length <= UINT32_MAX);
  nx_buffer_reserve(to, NX_Q_HEADER_BYTES + name.length + value_length);
  uint8_t *at = to->data + to->length;
  nx_store32(at, (uint32_t)operation | (uint32_t)kind << 8 | (uint32_t)name.length << 16);
  nx_store32(at + 4, (uint32_t)value_length);
  nx_store64(at + 8, number);
  nx_copy(at + NX_Q_HEADER_BYTES, name.data, name.length);
  to->length += NX_Q_HEADER_BYTES + name.length + value_length;
  return at + NX_Q_HEADER_BYTES + name.length;
}

uint8_t *nx_queue_record(nx_queue *queue, nx_queue_operation operation, uint64_t value_length) {
  nx_queues *queues = queue->owner;
  if (!queues->is_logging) return NULL;
  queue->version = ++queues->number;
  uint8_t kind = operation == NX_Q_CREATE ? (uint8_t)queue->kind : 0;
  return nx_effect_begin(&queues->effects, operation, kind, queue->version, nx_queue_name(queue),
                         value_length);
}

void nx_queue_record_value(nx_queue *queue, nx_queue_operation operation, const void *value,
                           uint64_t length) {
  uint8_t *to = nx_queue_record(queue, operation, length);
  if (to != NULL) nx_copy(to, value, length);
}

void nx_queue_record_number(nx_queue *queue, nx_queue_operation operation, uint64_t value) {
  uint8_t *to = nx_queue_record(queue, operation, 8);
  if (to != NULL) nx_store64(to, value);
}

/* What a value may be as long as, by operation; UINT32_MAX where replay looks itself. */
static bool length_fits(nx_queue_operation operation, uint32_t length) {
  switch (operation) {
    case NX_Q_COUNTER:
    case NX_Q_END:
    case NX_Q_DROP_FRONT:
    case NX_Q_DROP_BACK:
    case NX_Q_TRIM: return length == 8;
    case NX_Q_BEGIN:
    case NX_Q_CREATE: return length == 1;
    case NX_Q_REMOVE:
    case NX_Q_KEEP:
    case NX_Q_SUBSCRIBE: return length == 0;
    case NX_Q_DELETE: return length > 0 && length % 16 == 0;
    case NX_Q_STATE: return length == 40;
    default: return true;
  }
}

int64_t nx_queue_effect_read(const uint8_t *bytes, uint64_t length, nx_queue_effect *out) {
  if (length < NX_Q_HEADER_BYTES) return -EBADMSG;
  uint32_t operation = bytes[0], name_length = nx_load32(bytes) >> 16, value_length = nx_load32(bytes + 4);
  if (operation < NX_Q_COUNTER || operation >= NX_Q_OPERATIONS) return -EBADMSG;
  bool has_kind = operation == NX_Q_BEGIN || operation == NX_Q_CREATE;
  if (has_kind ? bytes[1] != NX_QUEUE_LIST && bytes[1] != NX_QUEUE_STREAM : bytes[1] != 0) return -EBADMSG;
  if (name_length > NX_QUEUE_NAME_BYTES_MAX) return -EBADMSG;
  uint64_t total = NX_Q_HEADER_BYTES + (uint64_t)name_length + value_length;
  if (total > length || !length_fits(operation, value_length)) return -EBADMSG;
  *out = (nx_queue_effect){
      .operation = operation,
      .kind = bytes[1],
      .number = nx_load64(bytes + 8),
      .name = {bytes + NX_Q_HEADER_BYTES, name_length},
      .value = {bytes + NX_Q_HEADER_BYTES + name_length, value_length},
  };
  return (int64_t)total;
}
