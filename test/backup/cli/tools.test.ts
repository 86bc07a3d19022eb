/** `node-x walb`'s tools over files: what the originals printed, the round trips of their notes, clear refusals. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cli, temporaryDirectory } from "../../cli/helpers.ts";
import { dumpOf, vector, vectorDirectory } from "../vectors.ts";

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

const at = (name: string) => join(place.path, name);
const walb = (...words: string[]) =>
  cli(["walb", ...words], { cwd: vectorDirectory, environment: { TMPDIR: place.path } });

const dumps = [...new Bun.Glob("*.txt").scanSync({ cwd: join(vectorDirectory, "dumps") })]
  .filter((name) => /^(craft|log\d|full|merged).*(wlog|wdiff)\.txt$/.test(name))
  .map((name) => name.replace(/\.txt$/, ""));

test("every recorded output of the original's printers is ours", async () => {
  expect(dumps.length).toBeGreaterThan(25);
  for (const name of dumps) {
    const { command, output } = dumpOf(name);
    const [program = "", ...words] = command.split(" ");
    const result = await walb(...program.split("-"), ...words);
    expect({ name, code: result.code, stdout: result.stdout }).toEqual({ name, code: 0, stdout: output });
  }
});

describe("the round trip of logs, diffs and images", () => {
  beforeAll(async () => {
    expect(
      (
        await walb(
          "wlog",
          "gen",
          "-s",
          "2M",
          "-z",
          "1M",
          "-maxDiscardSize",
          "64K",
          "-rand",
          "-o",
          at("a.wlog"),
        )
      ).code,
    ).toBe(0);
    for (const name of ["redo", "redo2", "base"]) {
      copyFileSync(join(vectorDirectory, "base.img"), at(`${name}.img`));
      truncateSync(at(`${name}.img`), 2 << 20);
    }
  });

  test("log replay, sorted, indexed and merged diffs and the virtual image agree", async () => {
    await walb("wlog", "to-wdiff", "-i", at("a.wlog"), "-o", at("sorted.wdiff"));
    await walb("wlog", "to-wdiff", "-i", at("a.wlog"), "-o", at("indexed.wdiff"), "-indexed", "-x", "16K");
    const merged = await walb(
      "wdiff",
      "merge",
      "-i",
      "log1.sorted.wdiff",
      at("indexed.wdiff"),
      "-o",
      at("m.wdiff"),
      "-x",
      "4K",
      "-cmpr",
      "lz4",
      "-stat",
    );
    expect(merged.stderr).toMatch(
      /^mergeIn  wdiffNr 2 nrN \d+ nrZ \d+ nrD \d+  lbN \d+ .*\nmergeOut wdiffNr 1 /,
    );
    expect((await walb("wlog", "redo", at("redo.img"), "-z", "-i", "log1.wlog")).stdout).toContain(
      "Applied lsid range [100, 244)\n",
    );
    const redone = await walb("wlog", "redo", at("redo.img"), "-z", "-i", at("a.wlog"), "-json");
    expect(JSON.parse(redone.stdout).visible).toBeGreaterThan(0);
    expect((await walb("wdiff", "redo", at("redo2.img"), "-z", "-i", at("m.wdiff"))).stdout).toMatch(
      /^Input statistics:\nnIoTotal: +\d+\n/,
    );
    await walb(
      "virt-full",
      "-i",
      at("base.img"),
      "-d",
      "log1.indexed.wdiff",
      at("sorted.wdiff"),
      "-o",
      at("virtual.img"),
    );
    const [redo, redo2, virtual] = ["redo", "redo2", "virtual"].map((name) =>
      readFileSync(at(`${name}.img`)),
    );
    expect(redo?.equals(redo2 as Buffer)).toBe(true);
    expect(redo?.equals(virtual as Buffer)).toBe(true);
    const same = await walb("bdiff", at("redo.img"), at("virtual.img"));
    expect(same).toMatchObject({ code: 0, stdout: "0/4096 differs\n" });
    expect((await walb("bdiff", at("redo.img"), at("base.img"))).code).toBe(1);
  });

  test("the diff of a whole image makes the image", async () => {
    await walb("wdiff", "full", "-i", "small.img", "-o", at("full.wdiff"), "-ios", "4K");
    writeFileSync(at("target.img"), new Uint8Array(65536).fill(9));
    await walb("wdiff", "redo", at("target.img"), "-i", at("full.wdiff"));
    expect(readFileSync(at("target.img")).equals(vector("small.img"))).toBe(true);
  });

  test("long work shows how far it is, where somebody looks, and leaves no trace of that", async () => {
    for (const [input, ...words] of [
      ["log1.wlog", "wlog", "to-wdiff"],
      ["log1.sorted.wdiff", "wdiff", "merge"],
      ["small.img", "wdiff", "full"],
    ] as const) {
      const tool = ["walb", ...words, "-i", input, "-o", at("shown")];
      const { stderr } = await cli(tool, { cwd: vectorDirectory, isTty: true });
      expect(stderr).toMatch(new RegExp(`^\\r\\u001b\\[K${input}: \\d+ of \\d+ bytes.*\\r\\u001b\\[K`));
      expect((await cli(tool, { cwd: vectorDirectory })).stderr).not.toContain("bytes");
    }
  });

  test("bytes go to standard output", async () => {
    expect(
      (await walb("wlog", "to-wdiff", "-i", "log1.wlog")).bytes?.equals(vector("log1.sorted.wdiff")),
    ).toBe(true);
  });
});

describe("log devices", () => {
  const ringBlocks = (1 << 20) / 512 - 10;
  async function device(name: string): Promise<string> {
    writeFileSync(at(name), new Uint8Array(1 << 20));
    const formatted = await walb("ldev", "format", at(name), "base.img", "-n", "demo");
    expect(formatted.stdout).toContain(`ringBufferSize: ${ringBlocks}\n`);
    return at(name);
  }
  const restore = (log: string, ...words: string[]) =>
    cli(["walb", "wlog", "restore", ...words], { stdin: [readFileSync(log)] });

  test.each([0, ringBlocks - 1, ringBlocks - 2, ringBlocks - 1024])(
    "a log restored %i blocks on, around the ring's end, comes back",
    async (shift) => {
      const ldev = await device(`ring-${shift}.img`);
      const lsid = 100n + BigInt(shift);
      const result = await restore(join(vectorDirectory, "log1.wlog"), ldev, "-d", String(shift), "-verify");
      expect(result.stdout).toContain(`Restored lsid range [${lsid}, `);
      await walb("wlog", "cat", ldev, "-o", at("again.wlog"));
      if (shift === 0) expect(readFileSync(at("again.wlog")).equals(vector("log1.wlog"))).toBe(true);
      const [a, b] = [at("from-file.img"), at("from-device.img")];
      for (const name of [a, b]) copyFileSync(join(vectorDirectory, "base.img"), name);
      await walb("wlog", "redo", a, "-z", "-i", "log1.wlog");
      expect((await walb("wlog", "redo", b, "-z", "-i", at("again.wlog"))).code).toBe(0);
      expect(readFileSync(a).equals(readFileSync(b))).toBe(true);
      expect((await walb("ldev", "info", ldev)).stdout).toContain(
        `oldestLsid: ${lsid}\nwrittenLsid: ${lsid}\n`,
      );
    },
  );

  test("reading ends at a pack that was destroyed, or before a record that is damaged", async () => {
    const ldev = await device("destroyed.img");
    await restore(join(vectorDirectory, "log1.wlog"), ldev, "-i", "165");
    expect((await walb("wlog", "cat", ldev, "-o", at("cut.wlog"))).stderr).toBe("the log ends at lsid 165\n");
    const bytes = readFileSync(ldev);
    const offset = (10 + 138) * 512; // the data at lsid 138, record 6 of the first pack
    bytes[offset] = (bytes[offset] as number) ^ 1;
    writeFileSync(ldev, bytes);
    expect((await walb("wlog", "cat", ldev, "-o", at("cut.wlog"))).stderr).toBe("the log ends at lsid 138\n");
    const shown = await walb("wlog", "show", at("cut.wlog"), "-validate", "-pack");
    expect(shown.code).toBe(0);
    expect(shown.stdout).toContain("total   37 n_rec  6 ");
  });

  test("a log that is restored for a smaller device keeps everything but what lies beyond its end", async () => {
    const ldev = await device("clipped.img");
    await restore(join(vectorDirectory, "log1.wlog"), ldev, "-s", "512K");
    await walb("wlog", "cat", ldev, "-o", at("clipped.wlog"));
    const [small, whole] = [at("small-device.img"), at("whole-device.img")];
    copyFileSync(join(vectorDirectory, "base.img"), whole);
    writeFileSync(small, vector("base.img").subarray(0, 512 << 10));
    expect((await walb("wlog", "redo", small, "-z", "-i", at("clipped.wlog"))).code).toBe(0);
    await walb("wlog", "redo", whole, "-z", "-i", "log1.wlog");
    expect(readFileSync(small).equals(readFileSync(whole).subarray(0, 512 << 10))).toBe(true);
    expect((await walb("wlog", "redo", small, "-z", "-i", "log1.wlog")).code).toBe(65);
  });

  test("a device without a sound super block is refused", async () => {
    writeFileSync(at("empty.img"), new Uint8Array(1 << 20));
    expect(await walb("ldev", "info", at("empty.img"))).toMatchObject({
      code: 65,
      stderr: expect.stringContaining("super block is invalid."),
    });
    const ldev = await device("flipped.img");
    const bytes = readFileSync(ldev);
    bytes[4096 + 24] = (bytes[4096 + 24] as number) ^ 1;
    writeFileSync(ldev, bytes);
    expect((await walb("ldev", "info", ldev)).code).toBe(65);
  });
});

describe("damage and mistakes", () => {
  test("a damaged record is named by `wlog show -validate`, and no tool uses it", async () => {
    const bytes = vector("log1.wlog");
    bytes[4096 + 512 + 5] = (bytes[4096 + 512 + 5] as number) ^ 1;
    writeFileSync(at("damaged.wlog"), bytes);
    expect(await walb("wlog", "show", at("damaged.wlog"), "-validate")).toMatchObject({
      code: 65,
      stderr: expect.stringMatching(/^NG: wlog_r: lsid +101 /),
    });
    copyFileSync(join(vectorDirectory, "base.img"), at("untouched.img"));
    const redo = await walb("wlog", "redo", at("untouched.img"), "-i", at("damaged.wlog"));
    expect(redo).toMatchObject({
      code: 65,
      stderr: expect.stringContaining("invalid log IO (pack at lsid 100 record 0)"),
    });
    expect(readFileSync(at("untouched.img")).equals(vector("base.img"))).toBe(true);
    const forced = await walb(
      "wlog",
      "redo",
      at("untouched.img"),
      "-z",
      "-skipcsum",
      "-i",
      at("damaged.wlog"),
    );
    expect(forced).toMatchObject({ code: 0, stdout: expect.stringContaining("[100, 244)") });
    copyFileSync(join(vectorDirectory, "base.img"), at("sound.img"));
    await walb("wlog", "redo", at("sound.img"), "-z", "-i", "log1.wlog");
    expect((await walb("bdiff", at("untouched.img"), at("sound.img"))).stdout).toBe("1/2048 differs\n");
    expect((await walb("wlog", "to-wdiff", "-i", at("damaged.wlog"), "-o", at("none.wdiff"))).code).toBe(65);
    expect(await Bun.file(at("none.wdiff")).exists()).toBe(false);
  });

  test("a log or a diff that is cut is refused", async () => {
    for (const [name, tool] of [
      ["log1.wlog", ["wlog", "to-wdiff"]],
      ["log1.sorted.wdiff", ["wdiff", "merge"]],
      ["log1.indexed.wdiff", ["wdiff", "merge"]],
    ] as const) {
      const whole = vector(name);
      for (const length of [10, 40, whole.length - 600, whole.length - 1]) {
        writeFileSync(at("cut"), whole.subarray(0, length));
        expect((await walb(...tool, "-i", at("cut"), "-o", at("out"))).code).toBe(65);
      }
    }
  });

  test("a record beyond the image is an error, unlike in the original", async () => {
    writeFileSync(at("short.img"), new Uint8Array(512 * 200));
    const redo = await walb("wdiff", "redo", at("short.img"), "-i", "log1.sorted.wdiff");
    expect(redo).toMatchObject({
      code: 65,
      stderr: expect.stringContaining("ends beyond the image of 200 blocks"),
    });
  });

  test("unknown options and missing words are refused", async () => {
    expect(await walb("wdiff", "merge", "-output", "x")).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('unknown option "-output"'),
    });
    expect(
      (await walb("wdiff", "merge", "-i", "log1.sorted.wdiff", "-cmpr", "foo", "-o", at("x"))).code,
    ).toBe(64);
    expect((await walb("wlog", "redo")).code).toBe(64);
    expect((await walb("wlog", "redo", at("no-such.img"), "-i", "log1.wlog")).code).toBe(64);
    expect((await walb("wdiff", "full", "-i", "small.img", "-ios", "1000", "-o", at("x"))).code).toBe(64);
  });
});
