/**
 * The pages that are open: each gets everything once, then one event per scrape (server-sent events).
 *
 * Invariant: the hub keeps a few events for a page and no more. A page that does not read misses events and is brought
 * up to date by a full message once it reads again.
 */

interface Viewer {
  /** What it shows. */
  view: string;
  controller: ReadableStreamDefaultController<Uint8Array>;
  /** False once its reader may look no more. */
  mayLook(): boolean;
  /** It missed a tick. */
  isBehind: boolean;
}

export const VIEWERS_MAX = 200;
const EVENTS_KEPT = 8;

const encode = (event: string, data: unknown) =>
  new TextEncoder().encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);

export class Viewers {
  readonly #viewers = new Set<Viewer>();
  readonly #full: (view: string) => unknown;

  /** `full` makes the message for a page that knows nothing yet. */
  constructor(full: (view: string) => unknown) {
    this.#full = full;
  }

  get count(): number {
    return this.#viewers.size;
  }

  /** A stream of events for one page that shows `view`; undefined when there are too many. */
  open(view = "", mayLook = () => true): ReadableStream<Uint8Array> | undefined {
    if (this.#viewers.size >= VIEWERS_MAX) return undefined;
    let viewer: Viewer;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          viewer = { view, controller, mayLook, isBehind: false };
          this.#viewers.add(viewer);
          controller.enqueue(encode("full", this.#full(view)));
        },
        cancel: () => void this.#viewers.delete(viewer),
      },
      { highWaterMark: EVENTS_KEPT },
    );
  }

  /** Tells everybody; `message` is made once for each view that is open. */
  tick(message: (view: string) => unknown): void {
    const ticks = new Map<string, Uint8Array>();
    const tickOf = (view: string) => {
      const known = ticks.get(view) ?? encode("tick", message(view));
      ticks.set(view, known);
      return known;
    };
    for (const viewer of this.#viewers) {
      if (!viewer.mayLook()) {
        this.#viewers.delete(viewer);
        viewer.controller.close();
        continue;
      }
      if ((viewer.controller.desiredSize ?? 0) <= 0) {
        viewer.isBehind = true;
        continue;
      }
      const { view, isBehind } = viewer;
      viewer.controller.enqueue(isBehind ? encode("full", this.#full(view)) : tickOf(view));
      viewer.isBehind = false;
    }
  }

  /** Ends all streams, so that the listener can stop. */
  close(): void {
    for (const { controller } of this.#viewers) controller.close();
    this.#viewers.clear();
  }
}
