/** Negative controls of the legacy port and of Redistribute; those of the C half are in test/native/legacy-c.test.ts. */
import { testMutants, type Mutant } from "../../../mutants.ts";

const port = "src/channels/legacy-port.ts";
const shared = "src/channels/gated-port.ts";
const hostile = "test/channels/wire/legacy/hostile.test.ts";
const redistribute = "test/channels/wire/legacy/redistribute.test.ts";

const mutants: Mutant[] = [
  { breaks: "the log's share in an answer", file: shared, from: "durable.commit();\n      isPromise", to: "isPromise", noticedBy: ["test/crash/legacy-power-loss.test.ts", "no acknowledged change is lost"] },
  { breaks: "the patience with listeners that do not read", file: port, from: "if (client.unreadBytes > 0 || client.isClosing) continue;", to: "if (client.isClosing) continue;", noticedBy: [hostile, "a listener that never reads loses updates"] },
  { breaks: "the limit on connections", file: shared, from: "if (!this.#table.hasRoom()) {", to: "if (this.#table.size < 0) {", noticedBy: [hostile, "connections over the limit"] },
  { breaks: "the wait for the other node's acknowledgement", file: "src/channels/dht/redistribute.ts", from: "await (await this.#connect(node)).sendRequest(request);", to: "void request;", noticedBy: [redistribute, "nothing is lost while the other node cannot be reached"] },
  { breaks: "the last word of the configuration", file: "src/channels/dht/hash-range.ts", from: "if (!isSame(saved.configured, configured)) {", to: "if (configured === undefined) {", noticedBy: [redistribute, "the range survives a restart"] },
]; // prettier-ignore

testMutants(mutants, ["test/channels", "test/crash", "test/vectors", "test/mutants.ts", "build.ts"]);
