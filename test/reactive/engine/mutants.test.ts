/** Negative controls of the etcd engine: each breaks one line of it, and a test must notice. */
import { testMutants } from "../../mutants.ts";

const engine = "src/reactive/engines/etcd";
const faults = "test/reactive/engine/etcd-faults.test.ts";
const contract = "test/reactive/engine/etcd.test.ts";
const members = "test/reactive/engine/etcd-members.test.ts";

testMutants(
  [
    {
      breaks: "a watch that goes on right behind the last change, when its member is killed",
      file: `${engine}/change-feed.ts`,
      from: "startRevision: position + 1,",
      to: "startRevision: position + 2,",
      noticedBy: [members, "a member killed under load"],
    },
    {
      breaks: "an unknown outcome that is not taken for a commit",
      file: `${engine}/gateway.ts`,
      from: 'mayBeDone ||= kind === "write" && !error.isUnsent;',
      to: 'if (kind === "write") return { succeeded: true, header: { revision: "9" } } as never;',
      noticedBy: [faults, "requests and answers that are lost"],
    },
    {
      breaks: "the outcome that a transaction demands not to be there",
      file: `${engine}/plan.ts`,
      from: "const compare: Compare[] = [isMissing(outcome.name)];",
      to: "const compare: Compare[] = [];",
      noticedBy: [contract, "a refusal is final"],
    },
    {
      breaks: "the comparison of what a transaction depends on",
      file: `${engine}/plan.ts`,
      from: "if (isCompared) compare.push",
      to: "if (isCompared && key.byteLength > 9) compare.push",
      noticedBy: [contract, "strict: what was read and has changed"],
    },
    {
      breaks: "a refusal that is written down",
      file: `${engine}/commits.ts`,
      from: "const outcome = await this.#options.outcomes.abort(id);",
      to: 'const outcome = { kind: "aborted" } as const; void id;',
      noticedBy: [contract, "a refusal is final"],
    },
    {
      breaks: "a gap that is told when etcd has compacted what was missed",
      file: `${engine}/change-feed.ts`,
      from: "if (this.#hasLost) this.#options.listener.onGap();",
      to: "",
      noticedBy: [faults, "changes that etcd has compacted away"],
    },
    {
      breaks: "progress that never passes what was handed over",
      file: `${engine}/change-feed.ts`,
      from: "if (await this.#reaches(issued, PATIENCE_MS)) return this.position;",
      to: "return issued;",
      noticedBy: [faults, "a watch that cannot be made"],
    },
    {
      breaks: "what the watch brought, which holds only as far as the watch is",
      file: `${engine}/recent-cells.ts`,
      from: "known === undefined || revision > reached ||",
      to: "known === undefined || reached === 0 ||",
      noticedBy: [faults, "a read at a revision that the watch has not reached"],
    },
    {
      breaks: "the horizon that is raised before marks of deleted keys go",
      file: `${engine}/collector.ts`,
      from: " || !(await this.#raise(upTo))",
      to: "",
      noticedBy: [faults, "a delete whose mark was collected"],
    },
    {
      breaks: "a large read that is of one revision",
      file: `${engine}/reads.ts`,
      from: "this.#part(part, found.revision)",
      to: "this.#part(part, at)",
      noticedBy: [faults, "a read of more keys"],
    },
  ],
  ["test/reactive", "test/e2e", "test/channels/wire", "build.ts"],
);
