/** Objects under the names of their content: what is in use stays while others are removed. */
import { expect, test } from "bun:test";
import { PartStore, Pins, sha256Of } from "../../../src/backup/bucket/part-store.ts";
import { MemoryObjects } from "./memory-store.ts";

const CONTENT = Buffer.from("a part that an earlier life left behind");
const KEY = `vol1/data/${sha256Of(CONTENT)}`;

/** The store with pins that hold nothing. */
class Unpinned extends PartStore {
  override pin(): void {}
}

/** Removes a stray object while somebody puts the same content; whether it is there in the end. */
async function race(parts: PartStore, objects: MemoryObjects, when: "before" | "during"): Promise<boolean> {
  objects.objects.set(KEY, CONTENT);
  const pins = new Pins(parts);
  let putting: Promise<unknown> | undefined;
  const put = () => (putting ??= parts.put(CONTENT, pins));
  if (when === "during") objects.before = (call) => void (call === "remove" && put());
  await parts.whileRemoving(async () => {
    if (when === "before") {
      // Taken for one that nothing names when the list was made; put and let go of before its turn comes.
      await put();
      pins.release();
    }
    await parts.remove(sha256Of(CONTENT));
  });
  await putting;
  pins.release();
  parts.close();
  return objects.objects.has(KEY);
}

test.each(["before", "during"] as const)(
  "content that is put %s its removal is there afterwards",
  async (when) => {
    const objects = new MemoryObjects();
    expect(await race(new PartStore(objects, "vol1"), objects, when)).toBe(true);
  },
);

test("without pins it would be gone", async () => {
  const objects = new MemoryObjects();
  expect(await race(new Unpinned(objects, "vol1"), objects, "before")).toBe(false);
});

test("what nobody uses is removed", async () => {
  const objects = new MemoryObjects();
  objects.objects.set(KEY, CONTENT);
  const parts = new PartStore(objects, "vol1");
  await parts.whileRemoving(() => parts.remove(sha256Of(CONTENT)));
  parts.close();
  expect(objects.objects.size).toBe(0);
});

test("content that is there is not sent again, and content that lost bytes is", async () => {
  const objects = new MemoryObjects();
  const parts = new PartStore(objects, "vol1");
  const pins = new Pins(parts);
  await parts.put(CONTENT, pins);
  await parts.put(CONTENT, pins);
  expect([objects.calls.put, parts.figures.objectsFound]).toEqual([1, 1]);
  objects.objects.set(KEY, CONTENT.subarray(1));
  await parts.put(CONTENT, pins);
  expect(objects.calls.put).toBe(2);
  parts.close();
});
