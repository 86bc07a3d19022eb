/**
 * The pages that are open: each gets everything once, then one event per scrape (server-sent events).
 *
 * Invariant: the hub keeps a few events for a page and no more. A page that does not read misses events and is brought
 * up to date by a full message once it reads again.
 */

interface Viewer {
  controller: ReadableStreamDefaultController<Uint8Array>;
  /** It missed a tick. */
  isBehind: boolean;
}

export const VIEWERS_MAX = 200;
const EVENTS_KEPT = 8;

const encode = (event: string, data: unknown) =>
  new TextEncoder().encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);

export class Viewers {
  readonly #viewers = new Set<Viewer>();
  readonly #full: () => unknown;

  /** `full` makes the message for a page that knows nothing yet. */
  constructor(full: () => unknown) {
    this.#full = full;
  }

  get count(): number {
    return this.#viewers.size;
  }

  /** A stream of events for one page; undefined when there are too many. */
  open(): ReadableStream<Uint8Array> | undefined {
    if (this.#viewers.size >= VIEWERS_MAX) return undefined;
    let viewer: Viewer;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          viewer = { controller, isBehind: false };
          this.#viewers.add(viewer);
          controller.enqueue(encode("full", this.#full()));
        },
        cancel: () => void this.#viewers.delete(viewer),
      },
      { highWaterMark: EVENTS_KEPT },
    );
  }

  /** Tells everybody. */
  tick(message: unknown): void {
    const tick = encode("tick", message);
    for (const viewer of this.#viewers) {
      if ((viewer.controller.desiredSize ?? 0) <= 0) {
        viewer.isBehind = true;
        continue;
      }
      viewer.controller.enqueue(viewer.isBehind ? encode("full", this.#full()) : tick);
      viewer.isBehind = false;
    }
  }

  /** Ends all streams, so that the listener can stop. */
  close(): void {
    for (const { controller } of this.#viewers) controller.close();
    this.#viewers.clear();
  }
}
