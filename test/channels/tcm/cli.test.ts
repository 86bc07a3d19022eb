/** `node-x tcm`, run in-process on real files. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { cli, temporaryDirectory } from "../../cli/helpers.ts";
import { oldTcmOf, record, tcmOf } from "./harness.ts";

setDefaultTimeout(120_000);
const directory = temporaryDirectory();
afterAll(() => directory.remove());
const at = (name: string) => join(directory.path, name);
const vector = join(import.meta.dir, "../../vectors/swarm/small-20.tcm");
const tcm = (...words: string[]) => cli(["tcm", ...words], { cwd: directory.path });
const load = (name: string, ...stdin: (string | Uint8Array)[]) =>
  cli(["tcm", "load", name], { cwd: directory.path, stdin });

describe("dump and load", () => {
  test("print what an original node wrote, and make the same file of it again", async () => {
    const { code, stdout } = await tcm("dump", vector);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(20);
    expect(lines).toContain(`0000000000000000:${btoa("user=0000;country=de;segments=1,2,3,0")}`);
    expect((await load("again.tcm", stdout)).code).toBe(0);
    expect(readFileSync(at("again.tcm"))).toEqual(readFileSync(vector));
    expect(statSync(at("again.tcm")).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory.path).filter((name) => name.includes("dumping"))).toEqual([]);
  });

  test("refuse a file that exists, and leave it as it is", async () => {
    writeFileSync(at("mine.tcm"), "precious");
    const { code, stderr } = await load("mine.tcm", "0000000000000001:YQ==\n");
    expect(code).toBe(73);
    expect(stderr).toContain("exists already");
    expect(readFileSync(at("mine.tcm"), "utf8")).toBe("precious");
  });

  test.each([
    ["no colon", "0000000000000001YQ=="],
    ["a short key", "000000000000001:YQ=="],
    ["a key that is not hexadecimal", "000000000000000g:YQ=="],
    ["an empty value", "0000000000000001:"],
    ["base64 without padding", "0000000000000001:YQ"],
    ["base64 with bits that the padding cuts off", "0000000000000001:YR=="],
    ["padding in the middle", "0000000000000001:YQ==YQ=="],
    ["a foreign character", "0000000000000001:Y*=="],
    ["nothing", ""],
  ])("name the line with %s", async (_, line) => {
    const { code, stderr } = await load("bad.tcm", `0000000000000001:YQ==\n${line}\n`);
    expect(code).toBe(65);
    expect(stderr).toContain("line 2 is no record");
    expect(existsSync(at("bad.tcm"))).toBe(false);
    expect(readdirSync(directory.path).filter((name) => name.includes("dumping"))).toEqual([]);
  });

  test("bring back any records, however the input is cut", async () => {
    let round = 0;
    const key = fc.bigInt(0n, 2n ** 64n - 1n).map((number) => number.toString(16).padStart(16, "0"));
    const records = fc.array(fc.tuple(key, fc.uint8Array({ minLength: 1, maxLength: 90 })), {
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(
        records,
        fc.integer({ min: 1, max: 50 }),
        fc.boolean(),
        async (all, step, endsInLine) => {
          const text = all
            .map(([name, value]) => `${name}:${Buffer.from(value).toString("base64")}\n`)
            .join("");
          const input = Buffer.from(endsInLine ? text : text.trimEnd());
          const pieces = Array.from({ length: Math.ceil(input.length / step) }, (_, i) =>
            input.subarray(i * step, (i + 1) * step),
          );
          const name = `p${round++}.tcm`;
          expect((await load(name, ...pieces)).code).toBe(0);
          expect(Uint8Array.from(readFileSync(at(name)))).toEqual(
            Uint8Array.from(tcmOf(...all.map(([each, value]) => record(each, value)))),
          );
          expect((await tcm("dump", name)).stdout).toBe(text);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("check", () => {
  test("reads both generations", async () => {
    writeFileSync(at("old.tcm"), oldTcmOf(1, record("0000000000000001", "x")));
    const { code, stdout } = await tcm("check", vector, "old.tcm", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      files: [
        { format: "current", bytes: 1536, counts: { records: 20 } },
        { format: "counted", counts: { records: 1 } },
      ],
    });
  });

  test("ends with 65 when one file is damaged, and tells where", async () => {
    writeFileSync(at("cut.tcm"), readFileSync(vector).subarray(0, 700));
    const { code, stdout, stderr } = await tcm("check", vector, "cut.tcm");
    expect(code).toBe(65);
    expect(stdout).toContain("damaged");
    expect(stderr).toMatch(/cut\.tcm: the end mark is missing after 9 records: .* at byte \d+/);
  });

  test("says that a file is missing", async () => {
    expect(await tcm("check", "absent.tcm")).toMatchObject({
      code: 64,
      stderr: expect.stringContaining("there is no file"),
    });
  });

  test("never crashes on garbage: it is whole or damaged", async () => {
    const seed = readFileSync(vector);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc
            .array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
            .map((edits) => {
              const bytes = Uint8Array.from(seed);
              for (const [offset, value] of edits) bytes[offset] = value;
              return bytes;
            }),
        ),
        async (bytes) => {
          writeFileSync(at("garbage.tcm"), bytes);
          expect([0, 65]).toContain((await tcm("check", "garbage.tcm", "--json")).code);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("backup", () => {
  test("copies every dump, compressed and dated, and keeps the newest", async () => {
    mkdirSync(at("data"));
    const bytes = readFileSync(vector);
    writeFileSync(at("data/users.tcm"), bytes);
    writeFileSync(at("data/users.tcm.backup"), "not copied");
    mkdirSync(at("to"));
    for (let day = 1; day <= 9; day++) writeFileSync(at(`to/users.tcm-2020010${day}.zst`), "old");
    writeFileSync(at("to/users.tcm-notes.zst"), "not ours");
    const { code, stdout } = await tcm("backup", "data", "--to", "to", "--keep", "3");
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^users: 20 records, 1536 bytes, \d+ compressed\n$/),
    });
    const names = readdirSync(at("to"));
    const made = names.find((name) => /^users\.tcm-(?!2020)\d{8}\.zst$/.test(name)) as string;
    expect(names.sort()).toEqual(
      ["users.tcm-20200108.zst", "users.tcm-20200109.zst", made, "users.tcm-notes.zst"].sort(),
    );
    expect(zstdDecompressSync(readFileSync(at(`to/${made}`)))).toEqual(bytes);
    expect((await tcm("backup", "data", "--to", "to", "--keep", "3")).code).toBe(0);
    expect(readdirSync(at("to")).sort()).toEqual(names.sort());
  });

  test("refuses to back up a dump that is damaged, and keeps the old backups", async () => {
    mkdirSync(at("hurt"));
    writeFileSync(at("hurt/ch.tcm"), readFileSync(vector).subarray(0, 512));
    mkdirSync(at("hurt-to"));
    writeFileSync(at("hurt-to/ch.tcm-20200101.zst"), "old");
    const { code } = await tcm("backup", "hurt", "--to", "hurt-to", "--keep", "1");
    expect(code).toBe(65);
    expect(readdirSync(at("hurt-to"))).toEqual(["ch.tcm-20200101.zst"]);
  });

  test("prints a service and a timer and does nothing else", async () => {
    const { code, stdout } = await tcm("backup", "data", "--to", "nowhere", "--keep", "14", "--unit");
    expect(code).toBe(0);
    expect(stdout).toContain(`tcm backup ${at("data")} --to ${at("nowhere")} --keep 14\n`);
    expect(stdout).toContain("OnCalendar=daily");
    expect(existsSync(at("nowhere"))).toBe(false);
  });

  test.each(["0", "x", "-1"])("refuses --keep %p", async (keep) => {
    expect((await tcm("backup", "data", "--to", "to", `--keep=${keep}`)).code).toBe(64);
  });
});
