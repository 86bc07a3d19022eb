/** Points in time over NBD: each reads as the volume was, for our client and for others', while the archive goes on. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { NbdClient } from "../../../src/backup/nbd/client.ts";
import { NbdCommand } from "../../../src/native/nbd.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";
import { at, Group, replicate, settled, until } from "../group.ts";
import { TestStorage, VOLUME } from "../servers.ts";

const MIB = 1 << 20;

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

const connected = (group: Group, port: number, gid: bigint | number) =>
  NbdClient.connect(group.world(), { host: "127.0.0.1", port, name: `${VOLUME}@${gid}` });

/** The listing is renewed each second. */
const isExported = (connect: () => Promise<NbdClient>) =>
  until(async () => {
    try {
      await (await connect())[Symbol.asyncDispose]();
      return true;
    } catch {
      return false;
    }
  }, "the points are exported");

async function prepared(name: string, seed: number) {
  const group = new Group(join(place.path, name), seed);
  const archive = await group.archive("a0", { nbdPort: 0 });
  const storage = await group.copied(archive);
  const images = new Map<bigint, Buffer>();
  for (let index = 0; index < 4; index++) {
    storage.write(12);
    images.set(await group.point(archive, storage), Buffer.from(storage.image));
  }
  const port = archive.portOf("nbdPort");
  const connect = (gid: bigint | number) => connected(group, port, gid);
  await isExported(() => connect(4));
  return { group, archive, storage, images, port, connect };
}

const read = (client: NbdClient, offset: number, length: number) =>
  client.request(NbdCommand.read, offset, length);

test("every point reads as the volume was, at any offset, also after an apply and a merge up to it", async () => {
  const { group, archive, images, connect } = await prepared("points", 1);
  await using _group = group;
  const clients = new Map<bigint, NbdClient>();
  for (const gid of images.keys()) clients.set(gid, await connect(gid));
  for (const [gid, image] of images)
    expect(Buffer.from(await read(clients.get(gid) as NbdClient, 0, image.byteLength)).equals(image)).toBe(
      true,
    );
  const third = images.get(3n) as Buffer;
  const client = clients.get(3n) as NbdClient;
  for (let offset = 512; offset + 9216 < third.byteLength; offset += 48_640) {
    const got = await read(client, offset, 9216);
    expect(Buffer.from(got).equals(third.subarray(offset, offset + 9216))).toBe(true);
  }
  await archive.controller.command("apply", [VOLUME, "3"], "accept");
  await settled(archive, "Apply");
  expect(Buffer.from(await read(client, 0, third.byteLength)).equals(third)).toBe(true);
  // The base has gone beyond these.
  await expect(read(clients.get(2n) as NbdClient, 0, 4096)).rejects.toThrow();
  await expect(client.request(NbdCommand.write, 0, 512, new Uint8Array(512))).rejects.toThrow();
  for (const each of clients.values()) await each[Symbol.asyncDispose]();
  expect(
    readdirSync(join(group.directory, "a0/archive", VOLUME)).filter((name) => name.startsWith("tmp")),
  ).toEqual([]);
});

test("a point of a history that is gone is read by nobody: neither by who has it open, nor under its old name", async () => {
  const { group, archive, images, connect } = await prepared("histories", 80);
  await using _group = group;
  await using before = await connect(2);
  const second = images.get(2n) as Buffer;
  expect(Buffer.from(await read(before, 0, second.byteLength)).equals(second)).toBe(true);
  // The same name, the same size, the same numbers: another volume, which is written over this one.
  const source = await group.archive("b0");
  const other = await group.copied(source, second.byteLength / 512);
  for (let gid = 1n; gid <= 2n; gid++) {
    other.write(12);
    expect(await group.point(source, other)).toBe(gid);
  }
  await replicate(source, archive.port, 2, "1");
  await expect(read(before, 0, 4096)).rejects.toThrow();
  await using after = await connect(2);
  const got = await read(after, 0, second.byteLength);
  expect(Buffer.from(got).equals(Buffer.from(other.image))).toBe(true);
});

const run = async (...words: string[]) => {
  const child = Bun.spawn(words, { stdout: "pipe", stderr: "pipe" });
  const [text, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect({ code: await child.exited, errors }).toEqual({ code: 0, errors: "" });
  return text;
};

const others = Bun.which("nbdinfo") !== null && Bun.which("nbdcopy") !== null;
test.skipIf(!others)("other people's clients list the points and copy one", async () => {
  const { group, images, port } = await prepared("clients", 50);
  await using _group = group;
  const uri = `nbd://127.0.0.1:${port}`;
  const listing = await run("nbdinfo", "--list", uri);
  for (const gid of images.keys()) expect(listing).toContain(`export="${VOLUME}@${gid}"`);
  expect(listing).toMatch(/description: vol1 at \d{4}-/);
  const copy = join(place.path, "copy.img");
  await run("nbdcopy", `${uri}/${VOLUME}@2`, copy);
  expect(Buffer.from(await Bun.file(copy).arrayBuffer()).equals(images.get(2n) as Buffer)).toBe(true);
});

test.skipIf(!others)("nobody has to read the holes of a point: a client is told of them", async () => {
  const image = Buffer.alloc(64 * MIB);
  image.fill(7, 8 * MIB, 9 * MIB);
  await using group = new Group(join(place.path, "holes"), 90);
  const archive = await group.archive("a0", { nbdPort: 0 });
  const storage = new TestStorage(group.world(), image.byteLength / 512);
  storage.image = image;
  await archive.controller.command("init-vol", [VOLUME], "ok");
  await storage.fullSync(at(archive.port));
  storage.write(10);
  await group.point(archive, storage);
  const port = archive.portOf("nbdPort");
  await isExported(() => connected(group, port, 1));
  const map = await run("nbdinfo", "--map", "--json", `nbd://127.0.0.1:${port}/${VOLUME}@1`);
  const extents = JSON.parse(map) as { offset: number; length: number; type: number }[];
  let data = 0;
  for (const { offset, length, type } of extents) {
    if (type === 0) data += length;
    else expect(image.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
  }
  expect(extents.reduce((sum, { length }) => sum + length, 0)).toBe(image.byteLength);
  expect(data).toBeGreaterThan(MIB);
  expect(data).toBeLessThan(8 * MIB);
});
