/** Negative controls of the streams family's tools. */
import { testMutants, type Mutant } from "../mutants.ts";

const receiver = "test/streams/receiver/two-phase.test.ts";
const sender = "test/streams/sender/sender.test.ts";
const wire = "test/streams/wire/codecs.test.ts";
const mirror = "test/streams/replica/mirror.test.ts";
const sink = "test/streams/sinks/two-phase-sink.test.ts";
const streams = "test/streams/worker/streams-move.test.ts";
const sequence = "test/streams/validate/sequence.test.ts";

const mutants: Mutant[] = [
  {
    breaks: "a promise before its bytes are synced",
    file: "src/streams/receiver/worker-output.ts",
    from: "    await this.#file.sync();\n    this.#pending",
    to: "    await this.#file.flush();\n    this.#pending",
    noticedBy: [receiver, "keeps every promise and every commit"],
  },
  {
    breaks: "a promise that is not written down",
    file: "src/streams/receiver/worker-output.ts",
    from: "await this.#log.sync();",
    to: "await this.#log.flush();",
    noticedBy: [receiver, "keeps every promise and every commit"],
  },
  {
    breaks: "output that nobody promised stays when its worker comes back",
    file: "src/streams/receiver/worker-output.ts",
    from: "if (this.#file.bytes > promised) await",
    to: "if (this.#file.bytes > promised + 1e9) await",
    noticedBy: [receiver, "what nobody promised is forgotten"],
  },
  {
    breaks: "a gap in the output is overlooked",
    file: "src/streams/receiver/worker-output.ts",
    from: "if (known < 0) this.#fault ??=",
    to: "if (known < -1e9) this.#fault ??=",
    noticedBy: [receiver, "a gap, a wrong end"],
  },
  {
    breaks: "a record counts as arrived when it was sent",
    file: "src/streams/sender/acked-line.ts",
    from: "protected drained(): void {}",
    to: "protected drained(): void { this.settle(this.next); }",
    noticedBy: [sender, "never ends while nothing is acknowledged"],
  },
  {
    breaks: "a restarted worker is sent only what is new",
    file: "src/streams/sender/acked-line.ts",
    from: "    this.rewind(position);\n",
    to: "    void this.rewind;\n",
    noticedBy: [sender, "sends again what a crash took"],
  },
  {
    breaks: "credits are not waited for",
    file: "src/streams/sender/acked-line.ts",
    from: "Math.max(0, this.#credits)",
    to: "1000",
    noticedBy: [sender, "waits when its credits are used up"],
  },
  {
    breaks: "a piece's checksum is not compared",
    file: "src/streams/wire/replica.ts",
    from: "if (crc32c(bytes, 0) !== getU32(body, 0))",
    to: "if (crc32c(bytes, 0) === -1)",
    noticedBy: [wire, "a piece with one flipped bit"],
  },
  {
    breaks: "a replica that acknowledges before it has synced",
    file: "src/streams/replica/append-session.ts",
    from: "await file.sync();",
    to: "await file.flush();",
    noticedBy: [mirror, "what was acknowledged by one replica"],
  },
  {
    breaks: "a file whose name a power loss takes",
    file: "src/streams/append-file.ts",
    from: "    await disk.syncDirectory(dirname(path));\n",
    to: "",
    noticedBy: [mirror, "what was acknowledged by one replica"],
  },
  {
    breaks: "older copies that go before the new one is whole",
    file: "src/streams/replica/channel.ts",
    from: "syncedBytes >= completeAt",
    to: "syncedBytes >= 0",
    noticedBy: [mirror, "a new copy that is cut short"],
  },
  {
    breaks: "output goes to the sink in one message, however much it is",
    file: "src/streams/sinks/two-phase-sink.ts",
    from: "bytes.subarray(start, start + OUTPUT_BYTES_MAX)",
    to: "bytes.subarray(start)",
    noticedBy: [sink, "output of many megabytes at once"],
  },
  {
    breaks: "connections are read before all that the input log kept was fed again",
    file: "src/streams/sources/replay.ts",
    from: "if (inputLog.isBehind) this.#goOn();",
    to: "if (records > 66) this.#goOn();",
    noticedBy: ["test/streams/sources/input-log.test.ts", "what was kept is fed again in pieces"],
  },
  {
    breaks: "a sink is told to keep what was never committed",
    file: "src/streams/sinks/two-phase-sink.ts",
    from: "const isCommit = checkpoint === this.#committedCheckpoint;",
    to: "const isCommit = true;",
    noticedBy: [sink, "is committed exactly once"],
  },
  {
    breaks: "a checkpoint without output makes the one before forgotten",
    file: "src/streams/sinks/two-phase-sink.ts",
    from: "checkpoint: this.#committedCheckpoint };",
    to: "checkpoint };",
    noticedBy: [sink, "a checkpoint without output"],
  },
  {
    breaks: "a worker's new connection does not wait for what the old one began",
    file: "src/streams/receiver/two-phase-receiver.ts",
    from: "void connection.work.then(() => this.#connections.delete(connection));",
    to: "this.#connections.delete(connection);",
    noticedBy: [receiver, "a worker that comes back while"],
  },
  {
    breaks: "output that counts as released before it is delivered",
    file: "src/streams/worker/checkpointing.ts",
    from: "    await Promise.all(deliveries);\n",
    to: "",
    noticedBy: ["test/streams/connectors/connectors.test.ts", "records go from one queue to another"],
  },
  {
    breaks: "a checkpoint that does not wait for the delivery of the one before",
    file: "src/streams/connectors/delivering-sink.ts",
    from: "const safe = this.#delivery.then(() => true);",
    to: "const safe = Promise.resolve(true);",
    noticedBy: ["test/streams/connectors/delivering-sink.test.ts", "the next checkpoint is not safe"],
  },
  {
    breaks: "a piece that comes during a sync is told of only with the next one",
    file: "src/streams/replica/append-session.ts",
    from: "isChecked && file.bytes > bytes &&",
    to: "isChecked && file.waitingBytes > 0 &&",
    noticedBy: ["test/crash/stream-power-loss.test.ts", "of a replica"],
  },
  {
    breaks: "a replica's removal that a power loss undoes",
    file: "src/streams/replica/files.ts",
    from: "    await this.#disk.syncDirectory(directory);\n",
    to: "",
    noticedBy: ["test/crash/stream-power-loss.test.ts", "of a replica"],
  },
  {
    breaks: "a worker that takes a stream over does not know what another one fed of it",
    file: "src/streams/worker/stream-registry.ts",
    from: "      entry.seen = larger(entry.seen, seen);\n",
    to: "",
    noticedBy: [streams, "a sender goes from worker to worker"],
  },
  {
    breaks: "a leader that has just started answers for workers that it has not heard",
    file: "src/streams/worker/stream-registry.ts",
    from: "    if (!this.#isComplete) return false;\n",
    to: "",
    noticedBy: ["test/streams/worker/leader.test.ts", "a leader that has just started lets"],
  },
  {
    breaks: "two workers that feed one stream",
    file: "src/streams/worker/stream-registry.ts",
    from: "entry.holder === undefined || entry.holder === worker;",
    to: "true;",
    noticedBy: [streams, "a stream is one sender's"],
  },
  {
    breaks: "a stream that goes on elsewhere while its records are still on their way",
    file: "src/streams/worker/stream-registry.ts",
    from: "if (isFree && this.#isOnItsWay(entry, worker)) return true;",
    to: "",
    noticedBy: [streams, "a stream goes on elsewhere only when"],
  },
  {
    breaks: "records of an epoch that is over meet states that went back",
    file: "src/streams/links/incoming.ts",
    from: "    this.begin(NO_EPOCH, []);\n",
    to: "",
    noticedBy: ["test/streams/links/incoming.test.ts", "nothing of an epoch that is over"],
  },
  {
    breaks: "positions of workers that left which no checkpoint has",
    file: "src/streams/worker/checkpointing.ts",
    from: "{ streams }",
    to: "{ streams: {} }",
    noticedBy: [streams, "workers with sources leave"],
  },
  {
    breaks: "a repeated value passes the judge",
    file: "src/streams/validate/sequence.ts",
    from: "(!isExactlyOnce && value <= previous)",
    to: "value <= previous",
    noticedBy: [sequence, "any single record lost, repeated"],
  },
  {
    breaks: "what a queue gives a source that rests is forgotten",
    file: "src/streams/connectors/queue-source.ts",
    from: "for (const record of records) inputLog.keep(record);",
    to: "return records.length;",
    noticedBy: ["test/streams/connectors/connectors.test.ts", "a worker that is stopped loses nothing"],
  },
];

testMutants(mutants, [
  "test/streams/wire",
  "test/streams/sender",
  "test/streams/receiver",
  "test/streams/validate",
  "test/streams/replica",
  "test/streams/sinks",
  "test/streams/sources",
  "test/streams/connectors",
  "test/streams/links",
  "test/streams/worker",
  "test/channels/client",
  "test/crash/stream-power-loss.test.ts",
]);
