/** The log device of a volume is the original's, byte for byte: the tools for those formats read it. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NbdClient } from "../../../src/backup/nbd/client.ts";
import { cli } from "../../cli/helpers.ts";
import { Served } from "../nbd/volumes.ts";

test.each([512, 4096])(
  "wlog cat and redo of the log make the image (physical blocks of %i)",
  async (physicalBytes) => {
    await using served = await Served.start({ bytes: 1 << 20, logBytes: 1 << 20, physicalBytes });
    {
      await using client = await NbdClient.connect(served.world, {
        host: "127.0.0.1",
        port: served.port,
        name: "vol1",
      });
      for (let index = 0; index < 60; index++)
        await client.write(Buffer.alloc(512 * (1 + (index % 9)), index + 1), ((index * 37) % 2000) * 512);
      await client.trim(4096, 8192);
      await client.zero(65536, 4096);
      await client.flush();
    }
    // The log is kept from its beginning: nobody has said that it is not needed.
    await served.close();
    const at = (name: string) => join(served.directory, name);
    const log = join(served.directory, "vol1/log");
    const ran = async (...words: string[]) => {
      const { code, stdout, stderr } = await cli(["walb", ...words]);
      expect({ words, code, stderr }).toEqual({ words, code: 0, stderr: expect.any(String) });
      return stdout;
    };
    expect(await ran("ldev", "info", log)).toContain(`pbs: ${physicalBytes}`);
    await ran("wlog", "cat", log, "-o", at("log.wlog"));
    const shown = await ran("wlog", "show", "-validate", "-stat", at("log.wlog"));
    expect(shown).toContain("discardLb 16");
    writeFileSync(at("image"), Buffer.alloc(1 << 20));
    await ran("wlog", "redo", at("image"), "-z", "-i", at("log.wlog"));
    expect(readFileSync(at("image")).equals(readFileSync(served.data))).toBe(true);
    await served.open();
  },
);
