/**
 * Power loss on a simulated disk: which of the states that POSIX allows is found afterwards.
 *
 * Invariant: a crash is a function of a series of choices, each "one of n". Random choices give one state;
 * `crashStates` walks the whole tree of choices and gives every state, so that a small history can be checked
 * against all of them. Per sector the choices are its durable content and every unsynced version of it; one
 * sector, the one in flight, may hold a mix of the durable and the newest content; per file every size it
 * went through; per directory a prefix of its unsynced changes ("ordered", as journalling file systems do) or
 * any subset ("any").
 */
import { seededRandom } from "../seams/random.ts";
import { applyChange, DirectoryNode, FileNode, type Node, type Sector } from "./disk-state.ts";

/** Answers "one of `count`": 0…count-1. Choice 0 is always "nothing unsynced survived". */
export type Choose = (count: number) => number;

export interface CrashModel {
  /** How unsynced names survive. */
  names: "ordered" | "any";
  /** Whether the sector in flight may be torn. */
  isTearing: boolean;
}

/** Where a torn sector stops being the one content and starts being the other, as parts of the sector. */
const TEARS = [1 / 32, 1 / 2, 31 / 32];

interface Dirty {
  sector: Sector;
  found: FileNode;
  index: number;
}

/** The disk after power loss: everything on it is durable again. */
export function crashed(root: DirectoryNode, choose: Choose, model: CrashModel): DirectoryNode {
  const dirty: Dirty[] = [];
  const found = new Map<Node, Node>();
  const result = crashedDirectory(root, choose, model, found, dirty);
  if (model.isTearing && dirty.length > 0) tear(dirty, choose);
  return result;
}

function crashedDirectory(
  directory: DirectoryNode,
  choose: Choose,
  model: CrashModel,
  found: Map<Node, Node>,
  dirty: Dirty[],
): DirectoryNode {
  const names = new Map(directory.durable);
  if (model.names === "ordered") {
    const kept = choose(directory.changes.length + 1);
    for (const change of directory.changes.slice(0, kept)) applyChange(names, change);
  } else {
    for (const change of directory.changes) if (choose(2) === 1) applyChange(names, change);
  }
  const result = new DirectoryNode();
  for (const [name, node] of names) {
    let survivor = found.get(node);
    if (survivor === undefined) {
      if (node.kind === "link") survivor = node;
      else if (node.kind === "file") survivor = crashedFile(node, choose, dirty);
      else survivor = crashedDirectory(node, choose, model, found, dirty);
      found.set(node, survivor);
    }
    result.entries.set(name, survivor);
    result.durable.set(name, survivor);
  }
  return result;
}

function crashedFile(file: FileNode, choose: Choose, dirty: Dirty[]): FileNode {
  const result = new FileNode(file.sectorBytes);
  const sizes = [file.durableSize, ...file.sizes];
  result.size = sizes[sizes.length === 1 ? 0 : choose(sizes.length)] as number;
  result.durableSize = result.size;
  const end = Math.ceil(result.size / file.sectorBytes);
  for (const [index, sector] of file.sectors) {
    if (index >= end) continue;
    let content = sector.durable;
    if (sector.versions.length > 0) {
      const pick = choose(sector.versions.length + 1);
      if (pick > 0) content = sector.versions[pick - 1] as Uint8Array;
      dirty.push({ sector, found: result, index });
    }
    result.sectors.set(index, { durable: content, versions: [], cache: content });
  }
  return result;
}

/** At most one sector is in flight when the power goes. */
function tear(dirty: Dirty[], choose: Choose): void {
  const pick = choose(1 + dirty.length * TEARS.length * 2);
  if (pick === 0) return;
  const { sector, found, index } = dirty[Math.floor((pick - 1) / (TEARS.length * 2))] as Dirty;
  const variant = (pick - 1) % (TEARS.length * 2);
  const newest = sector.versions.at(-1) as Uint8Array;
  const cut = Math.floor(newest.byteLength * (TEARS[variant >> 1] as number));
  const [head, tail] = variant % 2 === 0 ? [newest, sector.durable] : [sector.durable, newest];
  const content = head.slice();
  content.set(tail.subarray(cut), cut);
  found.sectors.set(index, { durable: content, versions: [], cache: content });
}

export interface CrashStates {
  visited: number;
  /** False when there are more than `limit` states and they were sampled. */
  isExhaustive: boolean;
}

/**
 * Calls `visit` with every state that a power loss now can leave. When there are more than `limit`, it visits
 * the extremes (nothing survived, everything survived) and a seeded sample instead.
 */
export function crashStates(
  root: DirectoryNode,
  model: CrashModel,
  limit: number,
  visit: (state: DirectoryNode) => void,
): CrashStates {
  const count = walk(root, model, limit + 1, () => undefined);
  if (count <= limit) return { visited: walk(root, model, limit, visit), isExhaustive: true };
  const random = seededRandom(limit);
  visit(crashed(root, () => 0, model));
  visit(crashed(root, (choices) => choices - 1, { ...model, isTearing: false }));
  for (let sample = 2; sample < limit; sample++) {
    visit(crashed(root, (choices) => random.integer(choices), model));
  }
  return { visited: limit, isExhaustive: false };
}

/** Walks the tree of choices depth first, up to `limit` leaves; returns how many it visited. */
function walk(
  root: DirectoryNode,
  model: CrashModel,
  limit: number,
  visit: (state: DirectoryNode) => void,
): number {
  const path: Pick[] = [];
  let count = 0;
  do {
    visit(crashed(root, followPath(path), model));
    count += 1;
  } while (count < limit && advance(path));
  return count;
}

/** One decision on the way to a leaf. */
interface Pick {
  pick: number;
  count: number;
}

/** Repeats the picks of `path` and extends it with zeros. */
function followPath(path: Pick[]): Choose {
  let depth = 0;
  return (count) => {
    if (depth === path.length) path.push({ pick: 0, count });
    const step = path[depth++] as Pick;
    return step.pick;
  };
}

/** Moves to the next leaf of the tree of choices; false after the last. */
function advance(path: Pick[]): boolean {
  for (let last = path.pop(); last !== undefined; last = path.pop()) {
    if (last.pick + 1 < last.count) {
      path.push({ pick: last.pick + 1, count: last.count });
      return true;
    }
  }
  return false;
}
