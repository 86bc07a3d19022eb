/**
 * The detector of lost, repeated and reordered records: for each key the last four values, after every record.
 *
 * Source "Detector" (frames of u64 value and key), `depth` times: a stateless trace, then a window by key. Sink
 * "windows": frames of text, `(key_0.TraceID-1.TraceWindow-1,[1,2,3,4])`. Words behind `--`: `--depth N`, and
 * `--generate KEYS` for a source that makes
 * all keys' values by itself, `--values N` of each.
 *
 * A window that does not go up by one stops the worker, so a mistake is found inside and not only at the sink; with
 * `--tolerant` it goes out as it is.
 */
import { app, framed } from "node-x/stream";
import type { Builder, Stream } from "node-x/stream";

/** A key with its last values, the newest one last. */
interface Window {
  key: string;
  last: number[];
}

const SHOWN = 4;

function option(args: readonly string[], name: string): number | undefined {
  const at = args.indexOf(name);
  return at < 0 ? undefined : Number(args[at + 1]);
}

/** What the key was before traces were put behind it. */
const bare = (key: string): string => key.split(".", 1)[0] as string;

function isAscending(last: readonly number[]): boolean {
  return last.every((value, index) => {
    const before = last[index - 1];
    return before === undefined || value === before + 1 || (before === 0 && value <= 1);
  });
}

function inputOf(a: Builder): Stream<Window> {
  const keys = option(a.args, "--generate");
  if (keys === undefined) {
    return a.source<Window>("Detector", {
      framing: framed(),
      decode: (frame) => ({ key: frame.text(8), last: [Number(frame.u64(0))] }),
    });
  }
  const count = option(a.args, "--values") ?? Number.POSITIVE_INFINITY;
  return a
    .generator<number>("Detector", {
      first: 0,
      next: (index) => (index + 1 < keys * count ? index + 1 : undefined),
    })
    .map((index) => ({ key: `key_${index % keys}`, last: [Math.floor(index / keys) + 1] }));
}

export default app("detector", (a) => {
  const depth = option(a.args, "--depth") ?? 1;
  const isTolerant = a.args.includes("--tolerant");
  let windows = inputOf(a);
  for (let level = 1; level <= depth; level++) {
    windows = windows
      .map(({ key, last }) => ({ key: `${key}.TraceID-${level}`, last }))
      .keyBy(({ key }) => bare(key))
      .state<{ last: number[] }, Window>(
        `window ${level}`,
        { init: () => ({ last: [0, 0, 0, 0] }) },
        ({ key, last }, state, out) => {
          state.last = [...state.last.slice(1 - SHOWN), last.at(-1) as number];
          if (!isTolerant && !isAscending(state.last)) {
            throw new Error(`the window of ${key} is [${state.last.join(",")}]`);
          }
          out.emit({ key: `${key}.TraceWindow-${level}`, last: state.last });
        },
      );
  }
  windows.to(
    a.sink<Window>("windows", {
      framing: framed(),
      encode: ({ key, last }, out) => out.utf8(`(${key},[${last.join(",")}])`),
    }),
  );
});
