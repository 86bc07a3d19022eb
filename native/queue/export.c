/*
 * A snapshot of all channels, in pieces, while they go on changing.
 *
 * A channel is exported as it was when its turn came: its head (kind, state, groups) at once, then its records
 * piece by piece. A record that is about to go while it has not been exported yet is exported first, so
 * every channel is whole as of one effect, whose number stands at its end; replay skips what came before.
 */
#include "effects.h"
#include "stream.h"

static nx_queue_export *export_of(nx_queue *queue) { return &queue->owner->export; }

void nx_queues_export_begin(nx_queues *queues) {
  nx_queues_export_end(queues);
  queues->export.is_running = true;
  queues->export.queue = queues->first;
}

void nx_queues_export_end(nx_queues *queues) {
  nx_buffer_free(&queues->export.ahead);
  nx_buffer_free(&queues->export.left);
  queues->export = (nx_queue_export){0};
}

static void export_record(nx_queue *queue, int64_t number, nx_buffer *out) {
  nx_slice record = nx_ring_at(&queue->ring, (uint64_t)(number - queue->ring.number));
  nx_queue_operation operation = queue->kind == NX_QUEUE_STREAM ? NX_Q_ADD : NX_Q_PUSH_BACK;
  nx_copy(nx_effect_begin(out, operation, 0, 0, nx_queue_name(queue), record.length), record.data,
          record.length);
}

static void begin_queue(nx_queue *queue, nx_buffer *out) {
  nx_queue_export *export = export_of(queue);
  *nx_effect_begin(out, NX_Q_BEGIN, (uint8_t)queue->kind, 0, nx_queue_name(queue), 1) = queue->is_kept;
  export->is_inside = true;
  export->at = queue->ring.number;
  export->end = queue->ring.number + (int64_t)queue->ring.count;
  export->version = queue->version;
  if (queue->kind == NX_QUEUE_STREAM) nx_groups_export(queue, out);
  /* The state comes last: adding the entries changes it. It is that of this moment. */
  export->ahead.length = 0;
  if (queue->kind == NX_QUEUE_STREAM) nx_stream_export_state(queue, &export->ahead);
  nx_store64(nx_effect_begin(&export->ahead, NX_Q_END, 0, 0, nx_queue_name(queue), 8), export->version);
}

/* Steps on to the next channel; `ahead` holds the end of this one. */
static void finish_queue(nx_queue *queue, nx_buffer *out) {
  nx_queue_export *export = export_of(queue);
  nx_buffer_append(out, export->ahead.data, export->ahead.length);
  export->ahead.length = 0;
  export->is_inside = false;
  export->queue = queue->next;
}

bool nx_queues_export_next(nx_queues *queues, uint64_t bytes_target, nx_buffer *out) {
  nx_queue_export *export = &queues->export;
  NX_ASSERT(export->is_running);
  if (!export->has_begun) {
    export->has_begun = true;
    nx_store64(nx_effect_begin(out, NX_Q_COUNTER, 0, 0, (nx_slice){NULL, 0}, 8), queues->number);
  }
  nx_buffer_append(out, export->left.data, export->left.length);
  export->left.length = 0;
  while (export->queue != NULL && out->length < bytes_target) {
    nx_queue *queue = export->queue;
    if (!export->is_inside) begin_queue(queue, out);
    while (export->at < export->end && out->length < bytes_target) export_record(queue, export->at++, out);
    if (export->at == export->end) finish_queue(queue, out);
  }
  return export->queue != NULL;
}

void nx_export_before_front(nx_queue *queue, uint64_t count) {
  nx_queue_export *export = export_of(queue);
  int64_t until = queue->ring.number + (int64_t)count;
  if (until > export->end) until = export->end;
  while (export->at < until) export_record(queue, export->at++, &export->left);
}

void nx_export_rest(nx_queue *queue) {
  if (!nx_is_exporting(queue)) return;
  nx_queue_export *export = export_of(queue);
  while (export->at < export->end) export_record(queue, export->at++, &export->left);
}

void nx_export_before_delete(nx_queue *queue) {
  nx_queue_export *export = export_of(queue);
  if (!export->is_running || export->queue != queue) return;
  nx_export_rest(queue);
  if (export->is_inside) finish_queue(queue, &export->left);
  else export->queue = queue->next;
}
