/** Negative controls of deploying: one line broken each, and the test that guards it turns red. */
import { testMutants, type Mutant } from "../mutants.ts";

const rollout = "test/cluster/deploy/rollout.test.ts";
const store = "test/cluster/release/store.test.ts";
const lock = "test/cluster/lock/host-lock.test.ts";
const audit = "test/cluster/audit/chain.test.ts";
const salted = "test/cluster/release/salted.test.ts";
const frame = "test/cluster/agent/frame.test.ts";

const mutants: Mutant[] = [
  { breaks: "S2: a quorum that is a majority, also of an even number", file: "src/core/config/group-file.ts", from: "return Math.floor(size / 2) + 1;", to: "return Math.floor((size - 1) / 2) + 1;", noticedBy: ["test/core/config/group-file.test.ts", "of 2 replicas 2 decide"] },
  { breaks: "the checksum of messages", file: "src/cluster/agent/frame.ts", from: "if (view.getUint32(20, true) !== checksumOf(bytes)) {", to: "if (bytes.byteLength < 0) {", noticedBy: [frame, "no flipped bit of a frame goes unnoticed"] },
  { breaks: "the fence of the lock", file: "src/cluster/agent/handlers.ts", from: "await deployment.lock.assertHeld((question.params as { generation: number }).generation);", to: "", noticedBy: [rollout, "an operator whose lock was taken over can change nothing more"] },
  { breaks: "the growth of generations", file: "src/cluster/lock/host-lock.ts", from: "if (generation <= state.generation) {", to: "if (generation < 0) {", noticedBy: [lock, "a generation is never given twice"] },
  { breaks: "the exclusion of other agents", file: "src/cluster/lock/host-lock.ts", from: 'const guard = await lockSoon(this.#disk, this.#clock, join(this.#directory, "lock.guard"));', to: "const guard = { release: async () => undefined };", noticedBy: [lock, "many at once: one gets it"] },
  { breaks: "the chain of the audit log", file: "src/cluster/audit/chain.ts", from: "if (entry.hash !== hashOf(entry))", to: "if (entry.hash === '')", noticedBy: [audit, "is found out"] },
  { breaks: "the witnesses of the audit log", file: "src/cluster/audit/chain.ts", from: "if (!hashes.has(hash))", to: "if (hash === '')", noticedBy: [audit, "a log that was cut short"] },
  { breaks: "the digest of what was put together", file: "src/cluster/release/incoming.ts", from: "if ((await sha256OfFile(disk, part)) === sha256) return;", to: "if (sha256 !== '') return;", noticedBy: [store, "table of blocks lies"] },
  { breaks: "the digest of blocks", file: "src/cluster/release/incoming.ts", from: 'if (digestOf(block) !== digest) throw damaged("a block does not have its digest");', to: "", noticedBy: [store, "with a block that arrived damaged"] },
  { breaks: "the self-test on the host", file: "src/cluster/release/incoming.ts", from: 'if (status === 0) return output.trim().split("\\n");', to: 'if (status !== "") return [];', noticedBy: [store, "that fails its self-test"] },
  { breaks: "the look at a file that was checked elsewhere", file: "src/cluster/release/incoming.ts", from: "if ((await disk.fileMark(adopting)) !== mark) return false;", to: "", noticedBy: [store, "no longer that very file"] },
  { breaks: "the care for releases in use", file: "src/cluster/release/store.ts", from: "removed = releases.slice(keep).filter(({ id }) => !inUse.has(id));", to: "removed = releases.slice(keep);", noticedBy: [store, "never one that a link points to"] },
  { breaks: "the privacy of secrets on the host", file: "src/cluster/release/store.ts", from: "if (salt !== undefined) continue;", to: "", noticedBy: [salted, "on the host only its user can read them"] },
  { breaks: "the salt of secrets", file: "src/cluster/release/salted.ts", from: 'if (salt !== undefined) hash.update(Buffer.from(salt, "hex"));', to: "", noticedBy: [salted, "the same content keeps its salt"] },
  { breaks: "the silence about secrets in plans", file: "src/cluster/plan/deploy-plan.ts", from: '.filter(({ salt }) => (salt === undefined) === (kind === "open"))', to: '.filter(() => kind === "open")', noticedBy: ["test/cluster/plan/plan.test.ts", "not even a digest of it is told"] },
  { breaks: "the undoing of a failed instance", file: "src/cluster/rollout/engine.ts", from: "if (isUnderWay) await undo(lane, options);", to: "", noticedBy: [rollout, "\\(sick\\) goes back"] },
  { breaks: "the halt after a failure", file: "src/cluster/rollout/engine.ts", from: "if (first !== undefined) throw first;", to: "if (first?.message === '') throw first;", noticedBy: [rollout, "\\(sick\\) goes back"] },
  { breaks: "the guard's firing", file: "src/cluster/agent/deployment.ts", from: "if (isBack && activeRelease === previous) return;", to: "if (isBack || activeRelease !== '') return;", noticedBy: [rollout, "\\(3\\) leaves old or new"] },
]; // prettier-ignore

testMutants(mutants, ["test/cluster", "test/core/config", "test/e2e", "test/mutants.ts", "build.ts", "bun.lock"]);
