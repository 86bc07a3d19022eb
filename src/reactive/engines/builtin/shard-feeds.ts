/**
 * The feeds of all shards as one. A transaction over two shards is told twice, once by each.
 *
 * Invariant: who watches keys of one shard has all of them followed: how far watchers are is the least of all, and a shard that begins later
 * may bring what is older.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import type { ChangeFeed, FeedListener } from "../engine.ts";
import type { ShardGroup } from "./backend.ts";
import { FeedFollower } from "./feed-follower.ts";
import { shardOf } from "./placement.ts";

export class ShardFeeds implements ChangeFeed {
  readonly #followers: FeedFollower[];

  constructor(shards: readonly ShardGroup[], clock: Clock, listener: FeedListener) {
    this.#followers = shards.map((shard) => new FeedFollower({ shard, clock, ...listener }));
  }

  async started({ keys, prefixes }: Parameters<ChangeFeed["started"]>[0]): Promise<void> {
    const followers = this.#followers;
    for (const follower of followers) follower.begin();
    const shards = new Set(
      prefixes.length > 0 ? followers.keys() : keys.map((key) => shardOf(key, followers.length)),
    );
    await Promise.all([...shards].map((shard) => followers[shard]?.started()));
  }

  async poll(issued: number): Promise<number> {
    return Math.min(...(await Promise.all(this.#followers.map((follower) => follower.poll(issued)))));
  }

  stop(): void {
    for (const follower of this.#followers) follower.stop();
  }
}
