/**
 * Hands every record on as it is: to look at a worker's own cost, and at its promises with the simplest program.
 *
 * Source "In", sink "Out" (frames). Words behind `--`: `--key-by first-byte` sends each record through a state of its first
 * byte's, `--step noop` takes everything and gives nothing.
 */
import { app, framed } from "node-x/stream";
import type { Stream } from "node-x/stream";

export default app("passthrough", (a) => {
  let records: Stream<Uint8Array> = a.source("In", { framing: framed(), decode: (frame) => frame.bytes() });
  if (a.args.includes("--key-by")) {
    records = records
      .keyBy((bytes) => String(bytes[0] ?? ""))
      .state<{ count: number }, Uint8Array>("counts", { init: () => ({ count: 0 }) }, (bytes, state, out) => {
        state.count += 1;
        out.emit(bytes);
      });
  }
  if (a.args.includes("noop")) records = records.filter(() => false);
  records.to(a.sink<Uint8Array>("Out", { framing: framed(), encode: (bytes, out) => out.raw(bytes) }));
});
