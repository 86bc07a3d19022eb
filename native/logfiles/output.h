/*
 * What becomes of the records that a reader wants: batches of the legacy protocol, batches of the neo protocol,
 * lines of JSON, or pages again.
 *
 *   legacy  { 16 | key as 16 hex digits | u64 length | value } …, as one array {u64 length of the content, LZO1X}
 *   neo     { i64 key | u64 length | value } … until 100 000 bytes are reached, then
 *           u64 length of the content | u64 length of the stream | LZO1X
 *   lines   {"time":<key>,"value":"<text>"} or, of bytes that are not UTF-8, {"time":<key>,"base64":"…"}
 *   pages   see page.h; one at a time
 *
 * Invariant: a batch is only cut between records. A record that no batch of the legacy protocol holds is skipped
 * and counted.
 */
#ifndef NX_LOGFILES_OUTPUT_H
#define NX_LOGFILES_OUTPUT_H
#include "lzo.h"
#include "page.h"

enum { NX_OUTPUT_LEGACY = 0, NX_OUTPUT_NEO = 1, NX_OUTPUT_LINES = 2, NX_OUTPUT_PAGES = 3, NX_OUTPUT_KEYS = 4 };

typedef struct {
  uint32_t kind;
  uint64_t batch_bytes;
  nx_buffer content; /* of the batch being filled */
  nx_buffer out;
  nx_page_builder pages;
  uint64_t batches, records, skipped;
  nx_lzo_table table;
} nx_output;

nx_output *nx_output_new(uint32_t kind, uint64_t batch_bytes);
void nx_output_free(nx_output *output);
void nx_output_add(nx_output *output, uint64_t key, const uint8_t *value, uint64_t length);
/* Whether what is in `out` should leave before more is added. */
bool nx_output_is_full(const nx_output *output);
/* Moves what is gathered to `out`. `is_last`: the legacy protocol's answer ends, with a batch in any case. */
void nx_output_finish(nx_output *output, bool is_last);

#endif
