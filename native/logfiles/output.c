/* See output.h. */
#include "output.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "lines.h"

#define OUT_BYTES_TARGET (256u << 10)
#define NEO_BYTES_TARGET 100000u
#define KEY_TEXT_BYTES 16u

nx_output *nx_output_new(uint32_t kind, uint64_t batch_bytes) {
  nx_output *output = calloc(1, sizeof *output);
  NX_ASSERT(output != NULL);
  output->kind = kind;
  output->batch_bytes = batch_bytes;
  return output;
}

void nx_output_free(nx_output *output) {
  nx_buffer_free(&output->content);
  nx_buffer_free(&output->out);
  nx_page_builder_free(&output->pages);
  free(output);
}

static uint8_t *reserve(nx_buffer *to, uint64_t length) {
  nx_buffer_reserve(to, length);
  uint8_t *at = to->data + to->length;
  to->length += length;
  return at;
}

/* Appends the compressed content behind room for its two lengths; returns where they stand. */
static uint8_t *append_stream(nx_output *output, uint64_t *stream_length) {
  nx_buffer *content = &output->content, *out = &output->out;
  uint64_t start = out->length;
  uint8_t *at = reserve(out, 16 + nx_lzo_bound(content->length));
  static const uint8_t nothing[1];
  const uint8_t *bytes = content->length == 0 ? nothing : content->data;
  *stream_length = nx_lzo_encode(bytes, content->length, at + 16, &output->table);
  out->length = start + 16 + *stream_length;
  return at;
}

static void send_legacy_batch(nx_output *output) {
  uint64_t stream, length = output->content.length;
  uint8_t *at = append_stream(output, &stream);
  nx_store64(at, 8 + stream);
  nx_store64(at + 8, length);
  output->content.length = 0;
  output->batches += 1;
}

static void send_neo_batch(nx_output *output) {
  uint64_t stream, length = output->content.length;
  uint8_t *at = append_stream(output, &stream);
  nx_store64(at, length);
  nx_store64(at + 8, stream);
  output->content.length = 0;
  output->batches += 1;
}

static void key_text(uint64_t key, uint8_t *text) {
  for (uint32_t i = 0; i < KEY_TEXT_BYTES; i++)
    text[i] = (uint8_t)"0123456789abcdef"[key >> (60 - 4 * i) & 15];
}

static void add_legacy(nx_output *output, uint64_t key, const uint8_t *value, uint64_t length) {
  bool has_value = output->kind == NX_OUTPUT_LEGACY;
  uint64_t size = 8 + KEY_TEXT_BYTES + (has_value ? 8 + length : 0);
  if (size > output->batch_bytes) {
    output->skipped += 1;
    return;
  }
  if (output->content.length + size > output->batch_bytes) send_legacy_batch(output);
  uint8_t *at = reserve(&output->content, size);
  nx_store64(at, KEY_TEXT_BYTES);
  key_text(key, at + 8);
  if (!has_value) return;
  nx_store64(at + 24, length);
  nx_copy(at + 32, value, length);
}

static void add_neo(nx_output *output, uint64_t key, const uint8_t *value, uint64_t length) {
  uint8_t *at = reserve(&output->content, 16 + length);
  nx_store64(at, key);
  nx_store64(at + 8, length);
  nx_copy(at + 16, value, length);
}

void nx_output_add(nx_output *output, uint64_t key, const uint8_t *value, uint64_t length) {
  output->records += 1;
  switch (output->kind) {
    case NX_OUTPUT_LEGACY:
    case NX_OUTPUT_KEYS: add_legacy(output, key, value, length); return;
    case NX_OUTPUT_NEO: add_neo(output, key, value, length); return;
    case NX_OUTPUT_LINES: nx_line_append(&output->out, key, value, length); return;
    case NX_OUTPUT_PAGES: nx_page_builder_add(&output->pages, key, value, length); return;
    default: NX_ASSERT(!"a kind of output");
  }
}

bool nx_output_is_full(const nx_output *output) {
  switch (output->kind) {
    case NX_OUTPUT_NEO: return output->content.length >= NEO_BYTES_TARGET;
    case NX_OUTPUT_PAGES: return nx_page_builder_bytes(&output->pages) >= output->batch_bytes;
    default: return output->out.length >= OUT_BYTES_TARGET;
  }
}

void nx_output_finish(nx_output *output, bool is_last) {
  switch (output->kind) {
    case NX_OUTPUT_LEGACY:
    case NX_OUTPUT_KEYS:
      if (is_last && (output->content.length > 0 || output->batches == 0)) send_legacy_batch(output);
      if (is_last) nx_store64(reserve(&output->out, 8), 0);
      return;
    case NX_OUTPUT_NEO:
      if (output->content.length > 0) send_neo_batch(output);
      return;
    case NX_OUTPUT_PAGES: nx_page_builder_finish(&output->pages, &output->out); return;
    default: return;
  }
}
