/**
 * The last four even and the last four odd values of a sequence, after every record.
 *
 * Source "Sequence" (frames of u64), sink "windows" (frames of text, `[9995,9997,9999,10001]`). From 12 on a multiple of 12
 * stands for itself and the two values behind it, which are swallowed: the sequence is the same, but steps make many of one.
 */
import { app, framed } from "node-x/stream";

const PERIOD = 12;
const SHOWN = 4;

export default app("sequence-window", (a) => {
  a.source("Sequence", { framing: framed(), decode: (frame) => Number(frame.u64(0)) })
    .global()
    .state<{ count: number }, number>("collected", { init: () => ({ count: 0 }) }, (value, state, out) => {
      state.count += 1;
      out.emit(value);
    })
    .flatMap<number>((value, out) => {
      const place = value % PERIOD;
      if (value < PERIOD || place > 2) out.emit(value);
      else if (place === 0) for (const more of [0, 1, 2]) out.emit(value + more);
    })
    .keyBy((value) => (value % 2 === 0 ? "even" : "odd"))
    .state<{ last: number[] }, number[]>(
      "windows",
      { init: () => ({ last: [0, 0, 0, 0] }) },
      (value, state, out) => {
        state.last = [...state.last.slice(1 - SHOWN), value];
        out.emit(state.last);
      },
    )
    .to(
      a.sink<number[]>("windows", {
        framing: framed(),
        encode: (last, out) => out.utf8(`[${last.join(",")}]`),
      }),
    );
});
