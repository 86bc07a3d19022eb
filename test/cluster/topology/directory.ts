/** A directory with the files of a prefix, read as the verbs read them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noticeText, problemText } from "../../../src/core/config/problem.ts";
import { readCluster, tryReadCluster } from "../../../src/cluster/topology/read.ts";
import type { Cluster } from "../../../src/cluster/topology/types.ts";
import { testCatalog } from "../test-roles.ts";

/** Files by name; an object is written as JSON. */
export type Files = Record<string, string | object>;

export class PrefixDirectory {
  readonly path = mkdtempSync(join(tmpdir(), "node-x-topology-"));

  write(files: Files): void {
    for (const [name, contents] of Object.entries(files))
      writeFileSync(
        join(this.path, name),
        typeof contents === "string" ? contents : JSON.stringify(contents),
      );
  }

  #sources(prefix: string, environment: Record<string, string>) {
    return { prefix, workingDirectory: this.path, environment, catalog: testCatalog };
  }

  cluster(prefix: string, environment: Record<string, string> = {}): Promise<Cluster> {
    return readCluster(this.#sources(prefix, environment));
  }

  async problems(prefix: string): Promise<string[]> {
    return (await tryReadCluster(this.#sources(prefix, {}))).problems.map(problemText);
  }

  async notices(prefix: string): Promise<string[]> {
    return (await tryReadCluster(this.#sources(prefix, {}))).notices.map(noticeText);
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}

/** Runs with a directory of its own. */
export async function inDirectory<Result>(
  files: Files,
  run: (directory: PrefixDirectory) => Promise<Result>,
): Promise<Result> {
  const directory = new PrefixDirectory();
  try {
    directory.write(files);
    return await run(directory);
  } finally {
    directory.remove();
  }
}

export const problemsOf = (files: Files, prefix = "p") =>
  inDirectory(files, (directory) => directory.problems(prefix));
export const clusterOf = (files: Files, prefix = "p", environment: Record<string, string> = {}) =>
  inDirectory(files, (directory) => directory.cluster(prefix, environment));
