/** A queue node whose overflow fills the disk: pushes are refused, nothing that was taken is lost, and the node lives. */
import { expect, test } from "bun:test";
import { QueueNode } from "../../src/channels/client.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { NodeDirectory } from "./node-process.ts";
import { SmallDisk, whyNoSmallDisk } from "./small-disk.ts";

const RECORD_BYTES = 100_000;
const DISK_MIB = 16;

const noSmallDisk = whyNoSmallDisk();
if (noSmallDisk !== undefined) console.log(`skipping the test of a full overflow: ${noSmallDisk}`);

test.skipIf(noSmallDisk !== undefined)(
  "a full disk is a full channel: 407, and every record comes out in order",
  async () => {
    using directory = new NodeDirectory("queue");
    directory.disk = await SmallDisk.mount(directory.dataDir, DISK_MIB);
    const channels = { ringBytes: 1 << 20, overflowBytes: 1 << 30 };
    const settings = { durability: "memory", respPort: null, channels, log: { console: "off" } };
    const node = await directory.start(settings);
    const address = { host: "127.0.0.1", port: node.ports["port"] as number };
    const client = await QueueNode.connect(realWorld().net, address);
    const recordOf = (number: number) => String(number).padEnd(RECORD_BYTES, "x");
    let taken = 0;
    const filling = async () => {
      for (; taken < 10_000; taken++) await client.push("jobs", recordOf(taken));
    };
    await expect(filling()).rejects.toMatchObject({ status: 407 });
    // The disk holds more than the ring, and less than its size.
    expect(taken).toBeGreaterThan(50);
    expect(taken).toBeLessThan((DISK_MIB * (1 << 20)) / RECORD_BYTES + 11);
    for (let record = 0; record < taken; record++)
      expect(String(await client.pop("jobs"))).toBe(recordOf(record));
    await client.push("jobs", "there is room again");
    expect(String(await client.pop("jobs"))).toBe("there is room again");
    client.close();
    expect(await node.end()).toBe(0);
  },
  120_000,
);
