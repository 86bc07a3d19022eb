/* The codec of effects.h. Reading trusts nothing: every length and flag is checked before it is used. */
#include "effects.h"

#include <errno.h>

#include "bytes.h"
#include "nx.h"

#define HEADER_BYTES 12u
#define FLAG_COMPACT 1u
#define FLAG_EXPIRY 2u
#define FLAG_OFFSET 4u

void nx_effect_append(nx_buffer *to, const nx_effect *effect) {
  bool has_offset = effect->operation == NX_EFFECT_PATCH;
  uint32_t flags = (effect->is_key_compact ? FLAG_COMPACT : 0) |
                   (effect->expires_at_ms != 0 ? FLAG_EXPIRY : 0) | (has_offset ? FLAG_OFFSET : 0);
  nx_buffer_reserve(to, HEADER_BYTES + 16 + effect->name.length + effect->key.length + effect->value.length);
  uint8_t *start = to->data + to->length;
  uint8_t *at = start;
  nx_store32(at, (uint32_t)effect->operation | flags << 8 | (uint32_t)effect->name.length << 16);
  nx_store32(at + 4, (uint32_t)effect->key.length);
  nx_store32(at + 8, (uint32_t)effect->value.length);
  at += HEADER_BYTES;
  if (effect->expires_at_ms != 0) nx_store64(at, (uint64_t)effect->expires_at_ms), at += 8;
  if (has_offset) nx_store64(at, effect->offset), at += 8;
  nx_copy(at, effect->name.data, effect->name.length);
  at += effect->name.length;
  nx_copy(at, effect->key.data, effect->key.length);
  at += effect->key.length;
  nx_copy(at, effect->value.data, effect->value.length);
  at += effect->value.length;
  to->length += (uint64_t)(at - start);
}

/* Flags and lengths that an operation allows. */
static bool is_allowed(uint32_t operation, uint32_t flags, uint32_t key_length, uint32_t value_length) {
  uint32_t wanted = operation == NX_EFFECT_PATCH ? FLAG_OFFSET : 0;
  uint32_t optional = operation == NX_EFFECT_CHANNEL_REMOVE ? 0 : FLAG_COMPACT;
  if (operation == NX_EFFECT_PUT || operation == NX_EFFECT_PATCH || operation == NX_EFFECT_EXPIRE)
    optional |= FLAG_EXPIRY;
  if (operation < NX_EFFECT_PUT || operation > NX_EFFECT_CHANNEL_REMOVE) return false;
  if ((flags & ~optional) != wanted) return false;
  if ((flags & FLAG_COMPACT) != 0 && key_length != 8) return false;
  if (operation == NX_EFFECT_CHANNEL_REMOVE && key_length != 0) return false;
  if (operation >= NX_EFFECT_REMOVE && value_length != 0) return false;
  return key_length <= NX_KEY_BYTES_MAX && value_length <= NX_VALUE_BYTES_MAX;
}

int64_t nx_effect_read(const uint8_t *bytes, uint64_t length, nx_effect *out) {
  if (length < HEADER_BYTES || bytes[3] != 0) return -EBADMSG;
  uint32_t operation = bytes[0], flags = bytes[1], name_length = bytes[2];
  uint32_t key_length = nx_load32(bytes + 4), value_length = nx_load32(bytes + 8);
  if (!is_allowed(operation, flags, key_length, value_length)) return -EBADMSG;
  bool has_expiry = (flags & FLAG_EXPIRY) != 0, has_offset = (flags & FLAG_OFFSET) != 0;
  uint64_t names_at = HEADER_BYTES + (has_expiry ? 8u : 0u) + (has_offset ? 8u : 0u);
  uint64_t total = names_at + name_length + key_length + value_length;
  if (total > length) return -EBADMSG;
  *out = (nx_effect){
      .operation = (nx_effect_operation)operation,
      .is_key_compact = (flags & FLAG_COMPACT) != 0,
      .name = {bytes + names_at, name_length},
      .key = {bytes + names_at + name_length, key_length},
      .value = {bytes + names_at + name_length + key_length, value_length},
      .expires_at_ms = has_expiry ? (int64_t)nx_load64(bytes + HEADER_BYTES) : 0,
      .offset = has_offset ? nx_load64(bytes + HEADER_BYTES + (has_expiry ? 8 : 0)) : 0,
  };
  if (has_expiry && out->expires_at_ms <= 0) return -EBADMSG;
  if (out->offset > NX_VALUE_BYTES_MAX - value_length) return -EBADMSG;
  if (!nx_channel_name_valid(out->name)) return -EBADMSG;
  return (int64_t)total;
}
