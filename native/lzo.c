/*
 * See lzo.h.
 *
 * The encoder walks over the input with one hash table of the last place of each four bytes. Where nothing
 * matches it walks faster the longer that lasts, so incompressible input costs little. Invariant: every byte
 * before `literals` is in the output already.
 */
#include "lzo.h"

#include <errno.h>
#include <stdbool.h>

#include "bytes.h"

#define DISTANCE_MAX 49151u
#define SHORT_DISTANCE_MAX 2048u /* of t 64-255 */
#define MIDDLE_DISTANCE_MAX 16384u
#define HASH_BITS 14
#define MATCH_MIN 4u
#define STRIDE_SHIFT 5 /* one more byte per step after each 32 without a match */

/* --- encoding ------------------------------------------------------------------------------------------- */

static uint32_t hash_of(uint32_t four) { return four * 0x9e3779b1u >> (32 - HASH_BITS); }

/* What remains of a length that its instruction byte could not hold. */
static uint8_t *put_extension(uint8_t *out, uint64_t rest) {
  for (; rest > 255; rest -= 255) *out++ = 0;
  *out++ = (uint8_t)rest;
  return out;
}

static uint8_t *put_literals(uint8_t *out, const uint8_t *start, const uint8_t *from, uint64_t length) {
  if (length == 0) return out;
  if (out == start && length <= 238) {
    *out++ = (uint8_t)(17 + length);
  } else if (length <= 3 && out != start) {
    /* Up to three travel in the low bits of the match before: of its last byte but one, or but none. */
    out[-2] |= (uint8_t)length;
  } else if (length <= 18) {
    *out++ = (uint8_t)(length - 3);
  } else {
    *out++ = 0;
    out = put_extension(out, length - 18);
  }
  memcpy(out, from, length);
  return out + length;
}

/* Every form ends with a byte behind the one whose low bits take literals, as put_literals expects. */
static uint8_t *put_match(uint8_t *out, uint64_t length, uint64_t distance) {
  if (length <= 8 && distance <= SHORT_DISTANCE_MAX) {
    distance -= 1;
    *out++ = (uint8_t)((length - 1) << 5 | (distance & 7) << 2);
    *out++ = (uint8_t)(distance >> 3);
    return out;
  }
  uint64_t inline_max;
  uint8_t opcode;
  if (distance <= MIDDLE_DISTANCE_MAX) {
    distance -= 1;
    inline_max = 33;
    opcode = 32;
  } else {
    distance -= 16384;
    inline_max = 9;
    opcode = (uint8_t)(16 | (distance & 16384) >> 11);
    distance &= 16383;
  }
  if (length <= inline_max) {
    *out++ = (uint8_t)(opcode | (length - 2));
  } else {
    *out++ = opcode;
    out = put_extension(out, length - inline_max);
  }
  *out++ = (uint8_t)(distance << 2);
  *out++ = (uint8_t)(distance >> 6);
  return out;
}

/* How far `left` and `right` agree; right is the later one. */
static uint64_t common_length(const uint8_t *left, const uint8_t *right, const uint8_t *end) {
  const uint8_t *from = right;
  while (end - right >= 8) {
    uint64_t difference = nx_load64(left) ^ nx_load64(right);
    if (difference != 0) return (uint64_t)(right - from) + (uint64_t)__builtin_ctzll(difference) / 8;
    left += 8;
    right += 8;
  }
  while (right < end && *left == *right) {
    left++;
    right++;
  }
  return (uint64_t)(right - from);
}

uint64_t nx_lzo_encode(const uint8_t *in, uint64_t length, uint8_t *out, nx_lzo_table *table) {
  NX_ASSERT(length < UINT64_C(1) << 31);
  uint8_t *const start = out;
  if (length == 0) in = start; /* it may be null, and is not read */
  const uint8_t *const end = in + length;
  const uint8_t *at = in, *literals = in;
  memset(table, 0, sizeof *table);
  if (length > MATCH_MIN) {
    const uint8_t *const last = end - MATCH_MIN;
    at++;
    while (at <= last) {
      uint32_t *slot = &table->positions[hash_of(nx_load32(at))];
      const uint8_t *candidate = in + *slot;
      *slot = (uint32_t)(at - in);
      uint64_t distance = (uint64_t)(at - candidate);
      if (distance > DISTANCE_MAX || nx_load32(candidate) != nx_load32(at)) {
        at += 1 + ((uint64_t)(at - literals) >> STRIDE_SHIFT);
        continue;
      }
      while (at > literals && candidate > in && at[-1] == candidate[-1]) {
        at--;
        candidate--;
      }
      uint64_t match = MATCH_MIN + common_length(candidate + MATCH_MIN, at + MATCH_MIN, end);
      out = put_literals(out, start, literals, (uint64_t)(at - literals));
      out = put_match(out, match, distance);
      at += match;
      literals = at;
      if (at <= last) table->positions[hash_of(nx_load32(at - 2))] = (uint32_t)(at - 2 - in);
    }
  }
  out = put_literals(out, start, literals, (uint64_t)(end - literals));
  *out++ = 0x11;
  *out++ = 0;
  *out++ = 0;
  NX_ASSERT((uint64_t)(out - start) <= nx_lzo_bound(length));
  return (uint64_t)(out - start);
}

/* --- decoding ------------------------------------------------------------------------------------------- */

typedef struct {
  const uint8_t *at, *end;
  uint8_t *out, *start, *limit;
} decoder;

/* ext(base); false when the input ends in it. */
static bool read_extension(decoder *d, uint64_t base, uint64_t *length) {
  uint64_t sum = base;
  while (d->at < d->end) {
    uint8_t byte = *d->at++;
    if (byte != 0) {
      *length = sum + byte;
      return true;
    }
    sum += 255;
  }
  return false;
}

static bool copy_literals(decoder *d, uint64_t length) {
  if ((uint64_t)(d->end - d->at) < length || (uint64_t)(d->limit - d->out) < length) return false;
  nx_copy(d->out, d->at, length);
  d->at += length;
  d->out += length;
  return true;
}

static bool copy_match(decoder *d, uint64_t length, uint64_t distance) {
  if ((uint64_t)(d->out - d->start) < distance || (uint64_t)(d->limit - d->out) < length) return false;
  const uint8_t *from = d->out - distance;
  if (distance >= length) {
    memcpy(d->out, from, length);
    d->out += length;
  } else {
    /* A match may run into its own output. */
    for (uint8_t *stop = d->out + length; d->out < stop;) *d->out++ = *from++;
  }
  return true;
}

int64_t nx_lzo_decode(const uint8_t *in, uint64_t length, uint8_t *out, uint64_t capacity) {
  decoder d = {in, in + length, out, out, out + capacity};
  uint32_t state = 0;
  if (length > 0 && in[0] > 17) {
    uint64_t literals = (uint64_t)in[0] - 17;
    d.at++;
    if (!copy_literals(&d, literals)) return -EBADMSG;
    state = literals < 4 ? (uint32_t)literals : 4;
  }
  while (d.at < d.end) {
    uint32_t t = *d.at++;
    uint64_t match, distance;
    if (t < 16 && state == 0) {
      match = (uint64_t)t + 3;
      if ((t == 0 && !read_extension(&d, 18, &match)) || !copy_literals(&d, match)) return -EBADMSG;
      state = 4;
      continue;
    }
    if (t >= 16 && t < 64) {
      uint32_t mask = t >= 32 ? 31 : 7;
      match = (t & mask) + 2;
      if ((t & mask) == 0 && !read_extension(&d, mask + 2, &match)) return -EBADMSG;
      if (d.end - d.at < 2) return -EBADMSG;
      uint32_t low = d.at[0], offset = low | (uint32_t)d.at[1] << 8;
      d.at += 2;
      if (t >= 32) distance = (offset >> 2) + 1;
      else distance = 16384 + ((t & 8) << 11) + (offset >> 2);
      if (t < 32 && distance == 16384) return d.at == d.end ? d.out - d.start : -EBADMSG;
      t = low;
    } else {
      if (d.at == d.end) return -EBADMSG;
      uint64_t next = *d.at++;
      if (t >= 64) {
        match = t >= 128 ? 5 + (t >> 5 & 3) : 3 + (t >> 5 & 1);
        distance = (next << 3) + (t >> 2 & 7) + 1;
      } else {
        match = state == 4 ? 3 : 2;
        distance = (next << 2) + (t >> 2) + (state == 4 ? 2049 : 1);
      }
    }
    state = t & 3;
    if (!copy_match(&d, match, distance) || !copy_literals(&d, state)) return -EBADMSG;
  }
  return -EBADMSG;
}

/* --- bun:ffi -------------------------------------------------------------------------------------------- */

NX_API uint64_t nx_lzo_ffi_encode(const uint8_t *in, uint64_t length, uint8_t *out);
NX_API int64_t nx_lzo_ffi_decode(const uint8_t *in, uint64_t length, uint8_t *out, uint64_t capacity);

uint64_t nx_lzo_ffi_encode(const uint8_t *in, uint64_t length, uint8_t *out) {
  nx_lzo_table table;
  return nx_lzo_encode(in, length, out, &table);
}

int64_t nx_lzo_ffi_decode(const uint8_t *in, uint64_t length, uint8_t *out, uint64_t capacity) {
  return nx_lzo_decode(in, length, out, capacity);
}
