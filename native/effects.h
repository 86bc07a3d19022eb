/*
 * Effects: the changes of a store as bytes. The append log keeps them and a snapshot consists of them.
 *
 *   offset  bytes  field
 *        0      1  operation: 1 put, 2 patch, 3 remove, 4 expire, 5 remove the channel
 *        1      1  flags: 1 compact key (8 bytes, see record.h), 2 expiry follows, 4 offset follows
 *        2      1  length of the channel name, 1-240
 *        3      1  zero
 *        4      4  key length      (0 for 5)
 *        8      4  value length    (0 for 3, 4, 5)
 *       12      8  expires at, milliseconds since 1970, above 0   (flag 2; in put, patch and expire)
 *        …      8  offset of the value bytes in the record        (flag 4; patch, always)
 *        …      …  channel name, key, value
 *
 * Integers are little-endian. An effect says what is true after it, never how it came about: a put or patch
 * without expiry means that the record has none. There is no checksum: the log that carries effects has one.
 */
#ifndef NX_EFFECTS_H
#define NX_EFFECTS_H
#include <stdbool.h>
#include <stdint.h>
#include "buffer.h"
#include "store.h"

typedef enum {
  NX_EFFECT_PUT = 1,
  NX_EFFECT_PATCH = 2,
  NX_EFFECT_REMOVE = 3,
  NX_EFFECT_EXPIRE = 4,
  NX_EFFECT_CHANNEL_REMOVE = 5,
} nx_effect_operation;

typedef struct {
  nx_effect_operation operation;
  bool is_key_compact;
  nx_slice name;
  nx_slice key; /* as stored: 8 bytes when compact */
  nx_slice value;
  int64_t expires_at_ms; /* 0: none */
  uint64_t offset;
} nx_effect;

void nx_effect_append(nx_buffer *to, const nx_effect *effect);
/* Reads one effect whose slices point into `bytes`. Returns its length, or -EBADMSG when it is malformed or
 * cut short. */
int64_t nx_effect_read(const uint8_t *bytes, uint64_t length, nx_effect *out);

#endif
