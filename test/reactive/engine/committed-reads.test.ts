/** Reads of what is committed share questions, and each is answered, or fails, as if it had asked alone. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { CommittedReads } from "../../../src/reactive/engines/builtin/committed-reads.ts";
import { LimitError, RefusedError } from "../../../src/reactive/failures.ts";
import { decodeQuery, encodeReadReply } from "../../../src/reactive/shard/query-messages.ts";
import { key } from "./words.ts";

setDefaultTimeout(60_000);

/** A shard whose answers come when the test says so: each key's value is its name. */
function scene() {
  const asked: { names: string[]; answer(error?: Error): Promise<void> }[] = [];
  const query = (body: Uint8Array) => {
    const told = decodeQuery(body);
    if (told.kind !== "committed") throw new Error(`a ${told.kind} was asked`);
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const versions = told.keys.map((value) => ({ start: 1, end: 1, type: 1, value }));
    const answer = async (error?: Error) => {
      if (error === undefined) resolve(encodeReadReply({ horizon: 3, position: 4, versions }));
      else reject(error);
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    };
    asked.push({ names: told.keys.map((each) => Buffer.from(each).toString()), answer });
    return promise;
  };
  const reads = new CommittedReads({ query });
  const read = async (...names: string[]) => {
    const { versions, horizon } = await reads.read(names.map(key));
    return `${versions.map(({ value }) => Buffer.from(value).toString()).join(" ")} ${horizon}`;
  };
  return { asked, read, names: () => asked.map((each) => each.names.join(" ")) };
}

test("what comes while two questions are under way goes together with the next one, sent behind it", async () => {
  const { asked, read, names } = scene();
  const answers = [read("a"), read("b", "c"), read("d"), read("e", "f"), read("d")];
  expect(names()).toEqual(["a", "b c"]);
  await asked[1]?.answer();
  expect(names()).toEqual(["a", "b c", "d e f d"]);
  const later = read("g");
  for (const place of [0, 2, 3]) await asked[place]?.answer();
  expect(names().slice(3)).toEqual(["g"]);
  expect(await Promise.all([...answers, later])).toEqual(["a 3", "b c 3", "d 3", "e f 3", "d 3", "g 3"]);
});

test("a question has no more keys than a shard answers in a moment, but for a single read", async () => {
  const { asked, read, names } = scene();
  const many = Array.from({ length: 1500 }, (_, index) => `k${index}`);
  const answers = [read("a"), read("b"), read(...many), read("c"), read("d")];
  for (const place of [0, 1, 2, 3]) await asked[place]?.answer();
  await Promise.all(answers);
  expect(names().slice(2)).toEqual([many.join(" "), "c d"]);
});

test("what is too long together is asked for one by one; what fails otherwise fails together, and later reads do not", async () => {
  const { asked, read, names } = scene();
  const settled = Promise.allSettled([read("a"), read("b"), read("c"), read("d")]);
  await asked[0]?.answer(new RefusedError("no primary"));
  await asked[1]?.answer();
  await asked[2]?.answer(new LimitError("tooLarge", "c d"));
  await asked[3]?.answer(new LimitError("tooLarge", "c"));
  await asked[4]?.answer();
  expect(names()).toEqual(["a", "b", "c d", "c", "d"]);
  const texts = (await settled).map((each) =>
    each.status === "fulfilled" ? each.value : String(each.reason),
  );
  expect(texts).toEqual(["RefusedError: no primary", "b 3", "LimitError: c", "d 3"]);
});
