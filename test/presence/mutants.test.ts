/** Negative controls of private presence. */
import { testMutants, type Mutant } from "../mutants.ts";

const guards = "test/presence/protocol/guards.test.ts";
const powerLoss = "test/crash/presence-power-loss.test.ts";

const mutants: Mutant[] = [
  { breaks: "the check of a bucket's path", file: "src/presence/client/answers.ts", from: "if (row !== undefined && isRowAuthentic(context, root, query, row)) return", to: "if (row !== undefined) return", noticedBy: [guards, "too many, so nothing is shown"] },
  { breaks: "the naming of liars", file: "src/presence/client/answers.ts", from: 'liars.add(answers[index]?.server ?? "");', to: "", noticedBy: [guards, "are named and the buckets right"] },
  { breaks: "the bucket's place in its hash", file: "src/presence/protocol/merkle.ts", from: "viewOf(head).setUint32(1, index);", to: "", noticedBy: [guards, "proves its own bucket at its own place"] },
  { breaks: "the check of a user's key", file: "src/presence/protocol/blinding.ts", from: "return isGroupKey(blindedKey) &&", to: "return", noticedBy: [guards, "a key of small order"] },
  { breaks: "the nonce's dependence on the status", file: "src/presence/protocol/sealing.ts", from: "primitives.hmacSha256(key.subarray(32), aad, payload)", to: "primitives.hmacSha256(key.subarray(32), aad)", noticedBy: [guards, "under different nonces"] },
  { breaks: "the wait for the sync", file: "src/presence/server/registrar.ts", from: "await this.#log.append(nextEpoch, records)", to: "void this.#log.append(nextEpoch, records)", noticedBy: [powerLoss, "every acknowledged registration"] },
  { breaks: "the memory of epochs that have begun", file: "src/presence/server/registration-log.ts", from: "this.begun = Math.max(this.begun ?? 0, epoch);", to: "void epoch;", noticedBy: [powerLoss, "every acknowledged registration"] },
  { breaks: "the order of publishing and forgetting", file: "src/presence/server/registrar.ts", from: "await databases.publish(signer.sign(metadata), data, digest);", to: "await this.#log.forget((done) => done <= epoch); await databases.publish(signer.sign(metadata), data, digest);", noticedBy: [powerLoss, "every acknowledged registration"] },
]; // prettier-ignore

testMutants(mutants, ["test/presence", "test/crash", "test/mutants.ts"]);
