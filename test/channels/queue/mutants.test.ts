/** Negative controls of the queue node in TypeScript; those of the C half are in test/native/queue-c.test.ts. */
import { testMutants, type Mutant } from "../../mutants.ts";

const durable = "src/channels/queue/durable-queues.ts";
const saved = "src/channels/queue/saved-queues.ts";
const port = "src/channels/resp-port.ts";
const tests = "test/channels/queue";

const mutants: Mutant[] = [
  { breaks: "the recording of changes", file: durable, from: "    this.queues.setLogging(true);\n", to: "", noticedBy: ["test/crash/queue-power-loss.test.ts", "no acknowledged push is lost"] },
  { breaks: "the snapshot of what the originals left", file: durable, from: "await this.log.compact();", to: "", noticedBy: [`${tests}/saved.test.ts`, "at its first start"] },
  { breaks: "the end of old files", file: saved, from: "if (isOurs && !written.has(name))", to: "if (written.has(name))", noticedBy: [`${tests}/saved.test.ts`, "an emptied channel's old file goes"] },
  { breaks: "the overflow that counts once", file: saved, from: "await world.disk.rename(path, `${path}.imported`);", to: "void path;", noticedBy: [`${tests}/saved.test.ts`, "overflow comes behind"] },
  { breaks: "the parity of overflow headers", file: "src/channels/queue/overflow-set.ts", from: "parity ^ byte, 0) !== 0", to: "parity ^ byte, 0) < 0", noticedBy: [`${tests}/saved.test.ts`, "with any flipped byte"] },
  { breaks: "the reply to who waited", file: port, from: "if (this.engine.hasWoken) this.#serveWoken();", to: "", noticedBy: [`${tests}/blocking.test.ts`, "an element goes to who waits first"] },
  { breaks: "the end of waiting", file: port, from: "if (this.engine.deadlineMs !== this.#deadlineMs) this.#setDeadline();", to: "", noticedBy: [`${tests}/blocking.test.ts`, "timeouts"] },
]; // prettier-ignore

testMutants(mutants, [
  "test/channels",
  "test/crash",
  "test/vectors",
  "test/cli",
  "test/e2e/free-ports.ts",
  "test/mutants.ts",
  "build.ts",
]);
