/** The sender role and the stream tools as people run them: the executable, over real sockets. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { detectorOutput } from "../../src/streams/validate/oracle.ts";
import { frameOf } from "../../src/streams/wire/frame.ts";
import { LoneExecutable } from "./executable.ts";

/** The port that a receiver says it listens on. */
async function portOf(stderr: ReadableStream<Uint8Array>): Promise<number> {
  let text = "";
  for await (const chunk of stderr) {
    text += Buffer.from(chunk).toString();
    const port = /listening on 127\.0\.0\.1:(\d+)\n/.exec(text)?.[1];
    if (port !== undefined) return Number(port);
  }
  throw new Error(`the receiver ended: ${text}`);
}

test("`run sender` with the original's options feeds `stream receive`, and ends by itself", async () => {
  using alone = await LoneExecutable.copy();
  const lines = Array.from({ length: 500 }, (_, index) => `line ${index}`);
  writeFileSync(join(alone.directory, "words.txt"), `${lines.join("\n")}\n`);
  writeFileSync(join(alone.directory, "sender.json"), JSON.stringify({ dataDir: "data" }));
  const receiver = alone.start(["stream", "receive", "-l", "127.0.0.1:0"]);
  const port = await portOf(receiver.stderr);
  const words = ["--host", `127.0.0.1:${port}`, "-f", "words.txt", "-s", "100", "-i", "1000000"];
  const sent = await alone.run(["run", "sender", "--config", "sender.json", "--", ...words]);
  expect(sent.code, sent.stderr).toBe(0);
  receiver.kill("SIGINT");
  expect((await new Response(receiver.stdout).text()).trimEnd().split("\n")).toEqual(lines);
  expect(await receiver.exited).toBe(0);
}, 120_000);

test("`run sender` refuses an option that its original has not", async () => {
  using alone = await LoneExecutable.copy();
  writeFileSync(join(alone.directory, "sender.json"), JSON.stringify({ dataDir: "data" }));
  const refused = await alone.run(["run", "sender", "--config", "sender.json", "--", "--hosts", "x"]);
  expect(refused.code).toBe(64);
  expect(refused.stderr).toContain("the sender has no option --hosts");
}, 120_000);

test("`stream send` refuses wrong orders by the option that has them", async () => {
  using alone = await LoneExecutable.copy();
  const wrongs: [words: string[], code: number, said: string][] = [
    [["nonsense"], 64, "TO: wanted an address and a port"],
    [["h:1", "--interval-ms", "abc"], 64, '--interval-ms: wanted a number from 0, got "abc"'],
    [["h:1", "--from", "10", "--until", "5"], 64, "counters.until: a value that is not before counters.from"],
    [["h:1", "--feed", "file", "--file", "nope.txt"], 65, "nope.txt is not there"],
  ];
  for (const [words, code, said] of wrongs) {
    const refused = await alone.run(["stream", "send", ...words]);
    expect(refused.stderr).toContain(said);
    expect(refused.code).toBe(code);
  }
}, 120_000);

test("`stream verify` tells by exit code and names the first violation", async () => {
  using alone = await LoneExecutable.copy();
  const write = (name: string, bodies: string[]) =>
    writeFileSync(
      join(alone.directory, name),
      Buffer.concat(bodies.map((body) => frameOf(Buffer.from(body)))),
    );
  const output = [...detectorOutput("key_0", 50)];
  write("received.txt", output);
  write("lost.txt", output.toSpliced(30, 1));
  const good = await alone.run(["stream", "verify", "-e", "50", "-k", "key_0"]);
  expect(good).toMatchObject({ code: 0, stderr: "" });
  expect(good.stdout).toContain("Validation successful: 50 records of 1 keys");
  const bad = await alone.run(["stream", "verify", "lost.txt", "-e", "50", "-k", "1", "--json"]);
  expect(bad.code).toBe(1);
  expect(JSON.parse(bad.stdout)).toMatchObject({
    isValid: false,
    violation: { rule: "sequence", key: "key_0", previous: 30, found: [29, 30, 31, 32] },
  });
}, 120_000);
