/*
 * A log on its way to a proxy, and bulks of a volume on their way to an archive: bytes in, the bytes of the stream out
 * (src/backup/wire/streams.ts draws them). Made for a thread that does nothing else.
 */
#ifndef NX_VOLUME_SHIP_H
#define NX_VOLUME_SHIP_H
#include <stdint.h>

#include "../blocks/codec.h"
#include "../buffer.h"
#include "../nx.h"

/* Appends the chunks of every whole pack in `bytes`, of which the first has `lsid`. Returns the bytes that were taken,
 * or -EBADMSG at a header that is not that of the next pack. */
NX_API int64_t nx_ship_packs(nx_codec *codec, uint32_t physical_bytes, uint32_t salt, uint64_t lsid,
                             const uint8_t *bytes, uint64_t length, nx_buffer *out);

/* Appends every bulk of `bulk_bytes` (the last may be short) as it goes to an archive, compressed by codec `id`. */
NX_API void nx_ship_bulks(nx_codec *codec, uint32_t id, uint32_t level, uint64_t bulk_bytes, const uint8_t *bytes,
                          uint64_t length, nx_buffer *out);

#endif
