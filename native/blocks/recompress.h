/* A sorted pack whose records are compressed anew: what threads do beside the merge that made the pack. */
#ifndef NX_BLOCKS_RECOMPRESS_H
#define NX_BLOCKS_RECOMPRESS_H
#include <stdint.h>

#include "../buffer.h"
#include "wdiff.h"

/* Appends the pack at `bytes` to `out`, with each record that is stored as it is compressed by `codec` where that makes it
 * shorter. 0, or -EBADMSG when it is no sound pack; nothing is appended then. */
NX_API int32_t nx_pack_recompress(const uint8_t *bytes, uint64_t length, uint32_t codec, uint32_t level,
                                  nx_buffer *out);

#endif
