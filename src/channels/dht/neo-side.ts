/** The dht node's neo half: what it tells its clients of ranges of hashes. */
import { NeoEngine, neoDefaults } from "../../native/neo.ts";
import { NeoSide as CommonNeoSide } from "../neo-side.ts";
import type { RangedNode } from "../wire/legacy/client.ts";
import { Code } from "../wire/neo/protocol.ts";
import type { OwnedRange } from "./hash-range.ts";
import type { SideOptions } from "./side.ts";

/** From the legacy port of a dht node to its neo port, as the originals have it. */
const NEO_PORT_DISTANCE = 100;

export class NeoSide extends CommonNeoSide<NeoEngine> {
  constructor(options: SideOptions, { range, settled }: OwnedRange) {
    const { port, neoPort, swarm } = options.config();
    const engine = new NeoEngine(options.durable.store, {
      ...neoDefaults,
      batchBytes: Math.max(neoDefaults.batchBytes, swarm.batchBytes),
      isOwnershipChecked: swarm.isOwnershipChecked,
      sizeBytesMax: swarm.sizeBytesMax,
    });
    engine.setRange(range);
    engine.setSettled(settled);
    super({ ...options, port: neoPort ?? (port === 0 ? 0 : port + NEO_PORT_DISTANCE), codes: Code }, engine);
  }

  /** The range has changed: clients that asked are told, of the other nodes too. */
  onRange({ range, settled }: OwnedRange, others: readonly RangedNode[]): void {
    this.engine.setRange(range);
    this.engine.setSettled(settled);
    // They are told of where neo clients would connect: by the originals' rule a hundred ports further.
    for (const { host, port, range: theirs } of others)
      this.engine.tellNode(host, port + NEO_PORT_DISTANCE, theirs);
  }
}
