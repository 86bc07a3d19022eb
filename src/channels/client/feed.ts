/**
 * Streams of several nodes as one.
 *
 * Invariant: a node is read only as fast as the caller takes, and one that is lost is gone back to for as long as the
 * caller stays.
 */
import { sleep, type Clock } from "../../core/seams/clock.ts";
import type { NodeConnection, NodeLink } from "./node-link.ts";
import { isRepeatable } from "./node-links.ts";

/** Items of several sources, handed on one by one; a source waits until its item was taken. */
export class Feed<Item> {
  isEnded = false;
  #sources: number;
  #items: { item: Item; taken(): void }[] = [];
  #error: Error | undefined;
  #wake: () => void = () => {};

  constructor(sources: number) {
    this.#sources = sources;
  }

  push(item: Item): Promise<void> {
    return new Promise((taken) => {
      this.#items.push({ item, taken });
      this.#wake();
    });
  }

  finished(): void {
    this.#sources--;
    this.#wake();
  }

  fail(error: Error): void {
    this.#error ??= error;
    this.#wake();
  }

  end(): void {
    this.isEnded = true;
    for (const { taken } of this.#items.splice(0)) taken();
  }

  async *items(): AsyncGenerator<Item> {
    while (!this.isEnded) {
      const next = this.#items.shift();
      if (next !== undefined) {
        yield next.item;
        next.taken();
      } else if (this.#error !== undefined) throw this.#error;
      else if (this.#sources === 0) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

export interface FollowOptions<Connection extends NodeConnection, Item> {
  clock: Clock;
  links: readonly NodeLink<Connection>[];
  /** Before a node that was lost is asked again. */
  pauseMs: number;
  /** One node's stream, on a connection of its own. */
  stream(node: Connection): AsyncIterable<Item>;
  /** A node was lost: what it sent meanwhile is missing. */
  onGap(node: string): void;
}

/** The streams of all nodes together, until each has ended or the caller leaves. */
export async function* followAll<Connection extends NodeConnection, Item>(
  options: FollowOptions<Connection, Item>,
): AsyncGenerator<Item> {
  const { clock, links, pauseMs, stream, onGap } = options;
  const feed = new Feed<Item>(links.length);
  const open = new Set<Connection>();
  const follow = async (link: NodeLink<Connection>) => {
    while (!feed.isEnded) {
      try {
        const node = await link.dedicated();
        open.add(node);
        try {
          for await (const item of stream(node)) await feed.push(item);
          return feed.finished();
        } finally {
          open.delete(node);
          node.close();
        }
      } catch (error) {
        if (feed.isEnded) return;
        if (!isRepeatable(error)) return feed.fail(error as Error);
        onGap(link.name);
        await sleep(clock, pauseMs);
      }
    }
  };
  for (const link of links) void follow(link);
  try {
    yield* feed.items();
  } finally {
    feed.end();
    for (const node of open) node.close();
  }
}
