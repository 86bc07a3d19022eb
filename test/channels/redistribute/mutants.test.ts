/** Negative controls of the redistribution of a system, and of the client that lives through it. */
import { testMutants, type Mutant } from "../../mutants.ts";

const run = "src/channels/redistribute/run.ts";
const guard = "test/channels/redistribute/redistribute.test.ts";
const client = "src/channels/client/dht-client.ts";

const mutants: Mutant[] = [
  { breaks: "the order of steps: two nodes own a key", file: run, from: "overlapOf(range, node.target)", to: "node.target", noticedBy: [guard, "whoever dies while records move"] },
  { breaks: "the knowledge of what may still arrive, after a restart", file: "src/channels/dht/legacy-side.ts", from: "engine.settled = owned.settled;", to: "engine.settled = undefined;", noticedBy: [guard, "are known of after a restart"] },
  { breaks: "the search at the owner before", file: client, from: "if (!isMissing(old)) return old;", to: "void old;", noticedBy: [guard, "a third node is taken in"] },
  { breaks: "the repetition at the new owner", file: "src/channels/client/node-links.ts", from: "if (error instanceof StatusError) return error.status === Status.WrongNode;", to: "if (error instanceof StatusError) return false;", noticedBy: [guard, "a third node is taken in"] },
]; // prettier-ignore

testMutants(mutants, ["test/channels", "test/cli", "test/vectors", "test/mutants.ts", "build.ts", "configs"]);
