/**
 * What a simulated disk holds: for every sector and every name what is certain, and what is in doubt.
 *
 * Invariant: `cache` is what the running system reads; `durable` is what power loss cannot take away; between
 * the two stand `versions`, the states a sector went through since it was last synced, any of which may be
 * the one that reached the medium. Names are in doubt independently of contents. Sector contents are never
 * changed in place, so a copy of a disk shares them and costs little.
 */

export interface Sector {
  durable: Uint8Array;
  /** Unsynced contents, oldest first. Empty: nothing will be written back. */
  versions: Uint8Array[];
  cache: Uint8Array;
}

/** What a `sync` that starts now has to make durable. */
export interface SyncMark {
  sectors: Map<number, Uint8Array[]>;
  sizes: number;
  size: number;
}

export class FileNode {
  readonly kind = "file";
  readonly sectorBytes: number;
  sectors = new Map<number, Sector>();
  size = 0;
  durableSize = 0;
  /** Sizes since the last sync, oldest first. */
  sizes: number[] = [];
  openCount = 0;

  constructor(sectorBytes: number) {
    this.sectorBytes = sectorBytes;
  }

  copy(): FileNode {
    const copy = new FileNode(this.sectorBytes);
    for (const [index, { durable, versions, cache }] of this.sectors) {
      copy.sectors.set(index, { durable, versions: [...versions], cache });
    }
    copy.size = this.size;
    copy.durableSize = this.durableSize;
    copy.sizes = [...this.sizes];
    return copy;
  }

  read(target: Uint8Array, offset: number): number {
    const end = Math.min(offset + target.byteLength, this.size);
    if (end <= offset) return 0;
    target.fill(0, 0, end - offset);
    for (let at = offset; at < end;) {
      const index = Math.floor(at / this.sectorBytes);
      const within = at - index * this.sectorBytes;
      const length = Math.min(this.sectorBytes - within, end - at);
      const sector = this.sectors.get(index);
      if (sector !== undefined) target.set(sector.cache.subarray(within, within + length), at - offset);
      at += length;
    }
    return end - offset;
  }

  /** How many sectors a write of this range would add. */
  newSectors(offset: number, length: number): number {
    let count = 0;
    const last = Math.floor((offset + length - 1) / this.sectorBytes);
    for (let index = Math.floor(offset / this.sectorBytes); index <= last; index++) {
      if (!this.sectors.has(index)) count += 1;
    }
    return length === 0 ? 0 : count;
  }

  write(bytes: Uint8Array, offset: number): void {
    for (let at = 0; at < bytes.byteLength;) {
      const index = Math.floor((offset + at) / this.sectorBytes);
      const within = offset + at - index * this.sectorBytes;
      const length = Math.min(this.sectorBytes - within, bytes.byteLength - at);
      const content = this.sectorAt(index).cache.slice();
      content.set(bytes.subarray(at, at + length), within);
      this.#change(index, content);
      at += length;
    }
    if (offset + bytes.byteLength > this.size) this.#resize(offset + bytes.byteLength);
  }

  truncate(size: number): void {
    for (const [index, sector] of this.sectors) {
      const start = index * this.sectorBytes;
      if (start + this.sectorBytes <= size) continue;
      const content = sector.cache.slice();
      content.fill(0, Math.max(0, size - start));
      this.#change(index, content);
    }
    this.#resize(size);
  }

  /** The sector, created as a hole when it is not there. */
  sectorAt(index: number): Sector {
    let sector = this.sectors.get(index);
    if (sector === undefined) {
      const zeros = new Uint8Array(this.sectorBytes);
      sector = { durable: zeros, versions: [], cache: zeros };
      this.sectors.set(index, sector);
    }
    return sector;
  }

  /** What a sync that starts now covers: writes that come later stay in doubt. */
  mark(): SyncMark {
    const sectors = new Map<number, Uint8Array[]>();
    for (const [index, sector] of this.sectors) {
      if (sector.versions.length > 0) sectors.set(index, [...sector.versions]);
    }
    return { sectors, sizes: this.sizes.length, size: this.size };
  }

  applySync(mark: SyncMark): void {
    for (const [index, versions] of mark.sectors) {
      const sector = this.sectors.get(index);
      // Another sync of the same file may have finished meanwhile.
      if (sector === undefined || sector.versions[0] !== versions[0]) continue;
      sector.durable = versions.at(-1) as Uint8Array;
      sector.versions.splice(0, versions.length);
    }
    this.durableSize = mark.size;
    this.sizes.splice(0, mark.sizes);
    this.#dropBeyondEnd();
  }

  /**
   * A failed sync: what was to be written is marked clean and never written again, although reads still show
   * it.
   */
  dropUnsynced(isDropped: () => boolean): void {
    for (const sector of this.sectors.values()) {
      if (sector.versions.length > 0 && isDropped()) sector.versions = [];
    }
  }

  #change(index: number, content: Uint8Array): void {
    const sector = this.sectorAt(index);
    sector.cache = content;
    sector.versions.push(content);
  }

  #resize(size: number): void {
    if (size === this.size) return;
    this.size = size;
    this.sizes.push(size);
  }

  /** Blocks behind the end are given back once no crash can bring them back. */
  #dropBeyondEnd(): void {
    if (this.sizes.length > 0) return;
    const end = Math.ceil(this.size / this.sectorBytes);
    for (const [index, sector] of this.sectors) {
      if (index >= end && sector.versions.length === 0) this.sectors.delete(index);
    }
  }
}

/** A symbolic link: its target never changes, only its name comes and goes. */
export class LinkNode {
  readonly kind = "link";
  readonly target: string;

  constructor(target: string) {
    this.target = target;
  }
}

export type Node = FileNode | DirectoryNode | LinkNode;

/** A change of a directory that is not yet synced. */
export type NameChange =
  | { kind: "set"; name: string; node: Node }
  | { kind: "remove"; name: string }
  | { kind: "rename"; from: string; name: string; node: Node };

export class DirectoryNode {
  readonly kind = "directory";
  entries = new Map<string, Node>();
  durable = new Map<string, Node>();
  changes: NameChange[] = [];

  apply(change: NameChange): void {
    applyChange(this.entries, change);
    this.changes.push(change);
  }

  /** Makes the first `count` changes durable. */
  applySync(count: number): void {
    for (const change of this.changes.splice(0, count)) applyChange(this.durable, change);
  }
}

export function applyChange(entries: Map<string, Node>, change: NameChange): void {
  if (change.kind === "remove") {
    entries.delete(change.name);
    return;
  }
  if (change.kind === "rename" && entries.get(change.from) === change.node) entries.delete(change.from);
  entries.set(change.name, change.node);
}

/** A deep copy that shares sector contents; `copies` keeps hard links and open names of one file together. */
export function copyDirectory(directory: DirectoryNode, copies = new Map<Node, Node>()): DirectoryNode {
  const copyOf = (node: Node): Node => {
    let copy = copies.get(node);
    if (copy === undefined) {
      if (node.kind === "link") copy = node;
      else copy = node.kind === "file" ? node.copy() : copyDirectory(node, copies);
      copies.set(node, copy);
    }
    return copy;
  };
  const result = new DirectoryNode();
  for (const [name, node] of directory.entries) result.entries.set(name, copyOf(node));
  for (const [name, node] of directory.durable) result.durable.set(name, copyOf(node));
  result.changes = directory.changes.map((change) =>
    change.kind === "remove" ? change : { ...change, node: copyOf(change.node) },
  );
  return result;
}

/** Every file reachable by name, each once. */
export function filesOf(directory: DirectoryNode, found = new Set<FileNode>()): Set<FileNode> {
  for (const node of directory.entries.values()) {
    if (node.kind === "file") found.add(node);
    else if (node.kind === "directory") filesOf(node, found);
  }
  return found;
}
