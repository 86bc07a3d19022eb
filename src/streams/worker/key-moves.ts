/**
 * Hands the states of keys that belong to other workers over, as the last checkpoint has them.
 *
 * Invariant: a key is on exactly one worker afterwards. Here it counts as removed, there as changed, so the next
 * checkpoint has it there; if the cluster goes back to the one before, it is here as it was.
 */
import type { Node } from "../plan/nodes.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Placement } from "./placement.ts";

/** Returns how many keys moved. `isLeaving`: what is kept by worker, whatever its key, goes too. */
export function moveKeys(
  engine: Engine,
  placement: Placement,
  isLeaving: boolean,
  hand: (owner: number, step: number, key: string, image: Uint8Array) => void,
): number {
  let moved = 0;
  for (const [step, node] of engine.plan.states.entries()) {
    const store = engine.stores.get(node.name);
    if (store === undefined) continue;
    const staysHere = isLocal(node);
    for (const [key, image] of store.images()) {
      const owner = staysHere ? (isLeaving ? 0 : placement.self) : placement.ownerOf(key);
      if (owner === placement.self) continue;
      hand(owner, step, key, image);
      store.remove(key);
      moved += 1;
    }
  }
  return moved;
}

/** Whether a step's records come only over exchanges that stay on their worker. */
function isLocal(node: Node): boolean {
  if (node.kind === "exchange") return node.isLocal;
  return node.inputs.length > 0 && node.inputs.every(isLocal);
}
