/** C modules under ASan and UBSan: compiled once, linked with a test or a fuzz target, whole or with one line changed. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { expect } from "bun:test";
import { staticArchives } from "../../build.ts";
import { cc, compileObjects, run } from "./compile-c.ts";

export const native = join(import.meta.dir, "../../native");
const sanitizers = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const common = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", `-I${native}`];

export class SanitizedModules {
  readonly #directory = mkdtempSync(join(tmpdir(), "node-x-sanitized-"));
  readonly #sources: string[];
  #archives: string[] = [];
  objects: string[] = [];

  /** `folders` and single `files` of native/. */
  constructor(folders: readonly string[], files: readonly string[]) {
    const inFolder = (folder: string) =>
      readdirSync(join(native, folder))
        .filter((name) => name.endsWith(".c"))
        .map((name) => join(native, folder, name));
    this.#sources = [...folders.flatMap(inFolder), ...files.map((name) => join(native, name))];
  }

  async compile(): Promise<void> {
    this.#archives = await staticArchives();
    // One folder at a time: their files may share names.
    for (const folder of new Set(this.#sources.map((source) => dirname(source)))) {
      const own = this.#sources.filter((source) => dirname(source) === folder);
      const place = join(this.#directory, "objects", relative(native, folder));
      this.objects.push(...(await compileObjects(own, sanitizers, place)));
    }
  }

  /** Compiles `source` of native/, links and runs it. */
  async run(source: string, linked: string[] = this.objects, ...args: string[]) {
    const program = join(this.#directory, `program-${crypto.randomUUID()}`);
    const libraries = [...this.#archives, "-lstdc++", "-lm", "-pthread"];
    const from = [...common, ...sanitizers, "-DNX_FUZZ_FILES", join(native, source)];
    await cc(...from, ...linked, ...libraries, "-o", program);
    // A changed line may never come to an end: then that is what is noticed.
    return run(["timeout", linked === this.objects ? "60" : "8", program, ...args]);
  }

  /** Runs a TAP test; the lines that tell of trouble, and how many tests there were. */
  async tap(source: string): Promise<{ code: number; failed: string[] | null; count: number }> {
    const { code, output } = await this.run(source);
    return {
      code,
      failed: output.match(/^(not ok|#|.*ERROR|.*runtime error).*$/gm),
      count: Number(/^1\.\.(\d+)$/m.exec(output)?.[1] ?? 0),
    };
  }

  /** The objects with one source (`folder/name.c`) changed: `from`, which must occur once, becomes `to`. */
  async mutate(file: string, from: string, to: string): Promise<string[]> {
    const place = mkdtempSync(join(this.#directory, "mutant-"));
    cpSync(native, join(place, "native"), { recursive: true, filter: (path) => !path.includes("corpus") });
    const source = join(place, "native", file);
    const text = readFileSync(source, "utf8");
    expect(text.split(from)).toHaveLength(2);
    writeFileSync(
      source,
      text.replace(from, () => to),
    );
    await cc(...common, "-w", ...sanitizers, "-c", source, "-o", `${source}.o`);
    const changed = join(this.#directory, "objects", `${file}.o`);
    return this.objects.map((path) => (path === changed ? `${source}.o` : path));
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true });
  }
}

/** The files of a fuzz corpus. */
export const corpusOf = (name: string): string[] =>
  readdirSync(join(native, "fuzz/corpus", name)).map((each) => join(native, "fuzz/corpus", name, each));
