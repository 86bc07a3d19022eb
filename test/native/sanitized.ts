/** C modules under ASan and UBSan: compiled once, linked with a test or a fuzz target, whole or with one line changed. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { expect } from "bun:test";
import { staticArchives } from "../../build.ts";
import { cc, compileObjects, native, run, sanitizers, storeSources, turnsRed } from "./compile-c.ts";

const common = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", `-I${native}`];
/** The store and what it stands on, below native/. */
export const storeFiles = storeSources.map((path) => basename(path));

/** Sources of one folder of native/, with its name before theirs. */
export const sourcesOf = (folder: string): string[] =>
  readdirSync(join(native, folder))
    .filter((name) => name.endsWith(".c"))
    .map((name) => join(folder, name));

export class SanitizedModules {
  readonly #directory = mkdtempSync(join(tmpdir(), "node-x-sanitized-"));
  readonly #sources: readonly string[];
  #archives: string[] = [];
  /** Of each source, by its path below native/. */
  readonly #objects = new Map<string, string>();
  /** Of each test or fuzz target that was linked. */
  readonly #mains = new Map<string, string>();

  /** Paths below native/. */
  constructor(sources: readonly string[]) {
    this.#sources = sources;
  }

  async compile(): Promise<void> {
    this.#archives = await staticArchives();
    // One folder at a time: their files may share names.
    for (const folder of new Set(this.#sources.map((source) => dirname(source)))) {
      const own = this.#sources.filter((source) => dirname(source) === folder);
      const paths = own.map((source) => join(native, source));
      const objects = await compileObjects(paths, sanitizers, join(this.#directory, "objects", folder));
      own.forEach((source, index) => this.#objects.set(source, objects[index] as string));
    }
  }

  /** Links `main`, a test or fuzz target of native/, with all modules, `changed` ones instead of those of their source. */
  async #link(main: string, changed: ReadonlyMap<string, string> = new Map()): Promise<string> {
    let object = this.#mains.get(main);
    if (object === undefined) {
      object = join(this.#directory, `${basename(main)}.o`);
      await cc(...common, ...sanitizers, "-DNX_FUZZ_FILES", "-c", join(native, main), "-o", object);
      this.#mains.set(main, object);
    }
    const program = join(this.#directory, `program-${crypto.randomUUID()}`);
    const modules = [...this.#objects].map(([source, whole]) => changed.get(source) ?? whole);
    const libraries = [...this.#archives, "-lstdc++", "-lm", "-pthread"];
    await cc(...sanitizers, object, ...modules, ...libraries, "-o", program);
    return program;
  }

  async run(main: string, args: readonly string[] = []): Promise<{ code: number; output: string }> {
    return run([await this.#link(main), ...args]);
  }

  /** Runs a TAP test; the lines that tell of trouble, and how many tests there were. */
  async tap(main: string): Promise<{ code: number; failed: string[] | null; count: number }> {
    const { code, output } = await this.run(main);
    return {
      code,
      failed: output.match(/^(not ok|#|.*ERROR|.*runtime error).*$/gm),
      count: Number(/^1\.\.(\d+)$/m.exec(output)?.[1] ?? 0),
    };
  }

  /** Whether `main` notices that in `file` (below native/) `from`, which must occur once, has become `to`. */
  async notices(
    [file, from, to]: readonly [file: string, from: string, to: string],
    main: string,
    args: readonly string[] = [],
  ): Promise<boolean> {
    return turnsRed(await this.#link(main, await this.#mutate(file, from, to)), ...args);
  }

  /** The objects that differ: that of the source, or those of a header's folder. */
  async #mutate(file: string, from: string, to: string): Promise<Map<string, string>> {
    const text = readFileSync(join(native, file), "utf8");
    expect(text.split(from)).toHaveLength(2);
    const place = mkdtempSync(join(this.#directory, "mutant-"));
    const folder = dirname(file);
    mkdirSync(join(place, folder), { recursive: true });
    // Headers are found beside the source first.
    const names = readdirSync(join(native, folder)).filter((name) => /\.(c|h|inc)$/.test(name));
    for (const name of names) cpSync(join(native, folder, name), join(place, folder, name));
    writeFileSync(
      join(place, file),
      text.replace(from, () => to),
    );
    const isChanged = (source: string) =>
      file.endsWith(".h") ? dirname(source) === folder : source === file;
    const changed = new Map<string, string>();
    for (const source of this.#sources.filter(isChanged)) {
      const object = join(place, `${source}.o`);
      const places = [`-I${place}`, `-I${join(native, folder)}`];
      await cc(...places, ...common, "-w", ...sanitizers, "-c", join(place, source), "-o", object);
      changed.set(source, object);
    }
    return changed;
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true });
  }
}

/** The files of a fuzz corpus. */
export const corpusOf = (name: string): string[] =>
  readdirSync(join(native, "fuzz/corpus", name)).map((each) => join(native, "fuzz/corpus", name, each));
