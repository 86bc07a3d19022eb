/* Containers are changed by one pass that finds the place and one move of what is behind it: values are small, and
 * a list that grows by appends touches only its end. */
#include "fold.h"

#include "../nx.h"
#include "cursor.h"

/* One operation, taken apart. */
typedef struct {
  uint8_t kind, type;
  uint32_t index;
  int64_t amount;
  nx_bytes first;  /* element, field or value of a put */
  nx_bytes second; /* value of a field */
} operation;

static bool next_operation(nx_bytes *ops, operation *op) {
  nx_bytes field;
  if (!nx_take(ops, 1, &field)) return false;
  *op = (operation){.kind = field.data[0]};
  switch (op->kind) {
    case NX_OP_PUT:
      if (!nx_take(ops, 1, &field)) return false;
      op->type = field.data[0];
      return nx_take_bytes(ops, &op->first);
    case NX_OP_DELETE: return true;
    case NX_OP_ADD:
      if (!nx_take(ops, 8, &field)) return false;
      memcpy(&op->amount, field.data, 8);
      return true;
    case NX_OP_SET_INDEX: return nx_take32(ops, &op->index) && nx_take_bytes(ops, &op->first);
    case NX_OP_APPEND:
    case NX_OP_INSERT:
    case NX_OP_REMOVE:
    case NX_OP_MAP_DELETE: return nx_take_bytes(ops, &op->first);
    case NX_OP_MAP_SET: return nx_take_bytes(ops, &op->first) && nx_take_bytes(ops, &op->second);
    default: return false;
  }
}

bool nx_value_valid(uint8_t type, nx_bytes value) {
  if (type == NX_TYPE_ABSENT) return value.length == 0;
  if (type == NX_TYPE_BYTES) return true;
  if (type == NX_TYPE_COUNTER) return value.length == 8;
  if (type > NX_TYPE_MAP) return false;
  uint32_t count;
  if (!nx_take32(&value, &count)) return false;
  nx_bytes previous = {NULL, 0}, item, ignored;
  for (uint32_t n = 0; n < count; n++) {
    if (!nx_take_bytes(&value, &item)) return false;
    if (type == NX_TYPE_MAP && !nx_take_bytes(&value, &ignored)) return false;
    if (type != NX_TYPE_LIST && n > 0 && nx_bytes_compare(previous, item) >= 0) return false;
    previous = item;
  }
  return value.length == 0;
}

bool nx_ops_valid(nx_bytes ops) {
  if (ops.length == 0 || ops.length > NX_VERSION_OPS_BYTES_MAX) return false;
  operation op;
  while (ops.length > 0) {
    if (!next_operation(&ops, &op)) return false;
    if (op.kind == NX_OP_PUT && (op.type == NX_TYPE_ABSENT || !nx_value_valid(op.type, op.first))) return false;
  }
  return true;
}

bool nx_ops_absolute(nx_bytes ops) { return ops.data[0] == NX_OP_PUT || ops.data[0] == NX_OP_DELETE; }

static bool touches(const operation *op, nx_part part) {
  if (part.kind == NX_PART_WHOLE || op->kind <= NX_OP_DELETE) return true;
  switch (op->kind) {
    case NX_OP_SET_INDEX: return part.kind != NX_PART_INDEX || op->index == nx_load32(part.data.data);
    case NX_OP_APPEND: return part.kind != NX_PART_INDEX;
    case NX_OP_INSERT:
    case NX_OP_REMOVE: return part.kind != NX_PART_ELEMENT || nx_bytes_compare(op->first, part.data) == 0;
    case NX_OP_MAP_SET:
    case NX_OP_MAP_DELETE: return part.kind != NX_PART_FIELD || nx_bytes_compare(op->first, part.data) == 0;
    default: return true; /* another type altogether */
  }
}

bool nx_ops_touch(nx_bytes ops, nx_part part) {
  operation op;
  while (ops.length > 0) {
    NX_ASSERT(next_operation(&ops, &op));
    if (touches(&op, part)) return true;
  }
  return false;
}

/* Makes the value one of this type: what is of another type counts as none. */
static void become(uint8_t wanted, uint8_t *type, nx_buffer *value) {
  if (*type == wanted) return;
  *type = wanted;
  value->length = 0;
  nx_buffer_append(value, &(uint64_t){0}, wanted == NX_TYPE_COUNTER ? 8 : 4);
}

/* Replaces `removed` bytes at `at` by `inserted` bytes, which the caller fills in. */
static uint8_t *splice(nx_buffer *value, uint64_t at, uint64_t removed, uint64_t inserted) {
  if (inserted > removed) nx_buffer_reserve(value, inserted - removed);
  nx_move(value->data + at + inserted, value->data + at + removed, value->length - at - removed);
  value->length = value->length - removed + inserted;
  return value->data + at;
}

static uint8_t *put_bytes(uint8_t *to, nx_bytes bytes) {
  nx_store32(to, (uint32_t)bytes.length);
  nx_copy(to + 4, bytes.data, bytes.length);
  return to + 4 + bytes.length;
}

static void change_count(nx_buffer *value, int32_t by) {
  nx_store32(value->data, (uint32_t)((int64_t)nx_load32(value->data) + by));
}

static void append(nx_buffer *value, nx_bytes element) {
  put_bytes(splice(value, value->length, 0, 4 + element.length), element);
  change_count(value, 1);
}

static void set_index(nx_buffer *value, uint32_t index, nx_bytes element) {
  if (index >= nx_load32(value->data)) return;
  uint64_t at = 4;
  while (index-- > 0) at += 4 + nx_load32(value->data + at);
  put_bytes(splice(value, at, 4 + nx_load32(value->data + at), 4 + element.length), element);
}

/* Where an item of a set (or, `step` 2, of a map) is or belongs; `size` is 0 when it is not there. */
static uint64_t locate(const nx_buffer *value, nx_bytes name, uint32_t step, uint64_t *size) {
  uint64_t at = 4;
  *size = 0;
  while (at < value->length) {
    nx_bytes item = {value->data + at + 4, nx_load32(value->data + at)};
    uint64_t bytes = 4 + item.length;
    if (step == 2) bytes += 4 + nx_load32(value->data + at + bytes);
    int order = nx_bytes_compare(item, name);
    if (order == 0) *size = bytes;
    if (order >= 0) return at;
    at += bytes;
  }
  return at;
}

static void remove_item(nx_buffer *value, nx_bytes name, uint32_t step) {
  uint64_t size, at = locate(value, name, step, &size);
  if (size == 0) return;
  splice(value, at, size, 0);
  change_count(value, -1);
}

static void insert(nx_buffer *value, nx_bytes element) {
  uint64_t size, at = locate(value, element, 1, &size);
  if (size > 0) return;
  put_bytes(splice(value, at, 0, 4 + element.length), element);
  change_count(value, 1);
}

static void map_set(nx_buffer *value, nx_bytes field, nx_bytes content) {
  uint64_t size, at = locate(value, field, 2, &size);
  uint8_t *to = splice(value, at, size, 8 + field.length + content.length);
  put_bytes(put_bytes(to, field), content);
  if (size == 0) change_count(value, 1);
}

static void fold_one(uint8_t *type, nx_buffer *value, const operation *op) {
  switch (op->kind) {
    case NX_OP_PUT:
      *type = op->type;
      value->length = 0;
      nx_buffer_append(value, op->first.data, op->first.length);
      return;
    case NX_OP_DELETE:
      *type = NX_TYPE_ABSENT;
      value->length = 0;
      return;
    case NX_OP_ADD:
      become(NX_TYPE_COUNTER, type, value);
      nx_store64(value->data, nx_load64(value->data) + (uint64_t)op->amount);
      return;
    case NX_OP_APPEND:
      become(NX_TYPE_LIST, type, value);
      append(value, op->first);
      return;
    case NX_OP_SET_INDEX:
      become(NX_TYPE_LIST, type, value);
      set_index(value, op->index, op->first);
      return;
    case NX_OP_INSERT:
      become(NX_TYPE_SET, type, value);
      insert(value, op->first);
      return;
    case NX_OP_REMOVE:
      become(NX_TYPE_SET, type, value);
      remove_item(value, op->first, 1);
      return;
    case NX_OP_MAP_SET:
      become(NX_TYPE_MAP, type, value);
      map_set(value, op->first, op->second);
      return;
    default:
      NX_ASSERT(op->kind == NX_OP_MAP_DELETE);
      become(NX_TYPE_MAP, type, value);
      remove_item(value, op->first, 2);
  }
}

void nx_fold(uint8_t *type, nx_buffer *value, nx_bytes ops) {
  operation op;
  while (ops.length > 0) {
    NX_ASSERT(next_operation(&ops, &op));
    fold_one(type, value, &op);
  }
}
