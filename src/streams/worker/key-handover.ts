/**
 * Keys that change hands when the cluster grows or shrinks: those of others go, those of this worker come, as the last
 * checkpoint has them.
 *
 * Invariant: a key is on exactly one worker afterwards. Here it counts as removed, there as changed, so the next
 * checkpoint has it there; if the cluster goes back to the one before, it is here as it was. A worker is ready only when
 * every other one has said that nothing more comes.
 */
import type { OutgoingLinks } from "../links/outgoing-links.ts";
import type { Node } from "../plan/nodes.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Placement } from "./placement.ts";

export class KeyHandover {
  readonly #engine: Engine;
  readonly #outgoing: OutgoingLinks;
  /** Workers whose keys are still coming. */
  #awaited = new Set<number>();
  #haveCome: (() => void) | undefined;

  constructor(engine: Engine, outgoing: OutgoingLinks) {
    this.#engine = engine;
    this.#outgoing = outgoing;
  }

  /** From here on keys of these workers may come. */
  expect(peers: Iterable<number>): void {
    this.#haveCome = undefined;
    this.#awaited = new Set(peers);
  }

  /** Hands over what belongs to others. `isLeaving`: what is kept by worker, whatever its key, goes too. Returns how many. */
  hand(placement: Placement, isLeaving: boolean): number {
    const watermarks = watermarksOf(this.#engine);
    let moved = 0;
    for (const [step, node] of this.#engine.plan.states.entries()) {
      const store = this.#engine.stores.get(node.name);
      if (store === undefined) continue;
      const staysHere = isLocal(node);
      for (const [key, image] of store.images()) {
        const owner = staysHere ? (isLeaving ? 0 : placement.self) : placement.ownerOf(key);
        if (owner === placement.self) continue;
        this.#outgoing.keyState(owner, step, key, image);
        store.remove(key);
        moved += 1;
      }
    }
    this.#outgoing.each((link) => link.keyEnd(watermarks));
    return moved;
  }

  /** Resolves when everybody has handed over what belongs here; never, when another epoch begins before. */
  async untilCome(): Promise<void> {
    if (this.#awaited.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#haveCome = resolve;
    await promise;
  }

  /** A key that belongs here. */
  take(step: number, key: string, image: Uint8Array): void {
    const { name } = this.#engine.plan.states[step] as { name: string };
    this.#engine.stores.get(name)?.adopt(key, image);
  }

  /** Nothing more comes from this worker, whose windows had come so far. */
  end(peer: number, watermarks: Record<string, number>): void {
    for (const [name, step] of this.#engine.windows) {
      step.rebuild(Math.max(step.watermarkMs, watermarks[name] ?? Number.NEGATIVE_INFINITY));
    }
    this.#awaited.delete(peer);
    if (this.#awaited.size === 0) this.#haveCome?.();
  }
}

/** By window: how far its event time has come. */
export function watermarksOf({ windows }: Pick<Engine, "windows">): Record<string, number> {
  // JSON has no infinity.
  const finite = (timeMs: number) => (Number.isFinite(timeMs) ? timeMs : -Number.MAX_VALUE);
  return Object.fromEntries([...windows].map(([name, step]) => [name, finite(step.watermarkMs)]));
}

/** Whether a step's records come only over exchanges that stay on their worker. */
function isLocal(node: Node): boolean {
  if (node.kind === "exchange") return node.isLocal;
  return node.inputs.length > 0 && node.inputs.every(isLocal);
}
