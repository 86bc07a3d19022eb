/* The loop of recompress.h: record by record, in their order. */
#include "recompress.h"

#include <errno.h>

#include "checksum.h"

int32_t nx_pack_recompress(const uint8_t *bytes, uint64_t length, uint32_t codec, uint32_t level, nx_buffer *out) {
  NX_ASSERT(codec < NX_CODEC_COUNT);
  if (nx_wdiff_pack_verify(bytes, length, 0, UINT64_MAX) < 0) return -EBADMSG;
  nx_wdiff_pack pack;
  if (nx_wdiff_pack_read(bytes, 0, &pack) != 0) return -EBADMSG;
  nx_codec *encoder = nx_codec_new();
  nx_buffer scratch = {0};
  nx_pack_writer writer = {0};
  for (uint32_t index = 0; index < pack.records; index++) {
    nx_diff_record record;
    nx_wdiff_pack_record(bytes, index, NX_WDIFF_PACK_BYTES, &record);
    const uint8_t *stored = bytes + record.offset;
    if (record.kind == NX_KIND_NORMAL && record.codec == NX_CODEC_NONE) {
      scratch.length = 0;
      uint64_t size = nx_codec_encode(encoder, codec, level, stored, record.size, &scratch);
      if (size != 0) {
        stored = scratch.data;
        record.size = (uint32_t)size;
        record.codec = (uint8_t)codec;
        record.checksum = nx_salted_checksum(stored, size, 0);
      }
    }
    nx_pack_add(&writer, out, &record, stored);
  }
  nx_pack_close(&writer, out);
  nx_codec_free(encoder);
  nx_buffer_free(&scratch);
  return 0;
}
