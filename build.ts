/**
 * Builds everything from a fresh clone: packages, the C library, the executable `dist/node-x`.
 *
 *   bun build.ts             what is stale (packages, C library, executable)
 *   bun build.ts --native    packages and C library only: enough for `bun test`
 *   bun build.ts --verify    builds twice in different directories and compares the bits
 *
 * Invariant: the same sources give the same bits. Nothing of the machine, the directory or the time goes
 * in: paths are mapped away, the C library has no build id, the outfile's name is constant. A build that is
 * killed leaves the previous outputs in place, because each is renamed over its predecessor when complete.
 */
import type { BunPlugin } from "bun";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = import.meta.dir;
const dist = join(root, "dist");
const nativeDist = join(dist, "native");
const isQuiet = process.argv.includes("--quiet");
/** Who runs all tests builds first, and says here of which checkout nothing is stale. */
const isBuilt = process.env.NODE_X_BUILT === root;

/** A sentence for a person who cannot build yet. */
class BuildError extends Error {}

function say(text: string): void {
  if (!isQuiet) console.error(text);
}

function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
}

async function run(command: string[], options: RunOptions = {}): Promise<{ ok: boolean; output: string }> {
  const child = Bun.spawn(command, {
    cwd: options.cwd ?? root,
    env: { ...process.env, ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { ok: (await child.exited) === 0, output: stdout + stderr };
}

/** Writes `bytes` as `path` so that a reader sees the old file or the new one. */
function replaceFile(path: string, bytes: Uint8Array | string): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, bytes);
  renameSync(temporary, path);
}

// --- prerequisites -----------------------------------------------------------------------------------------------

/** Debian packages by the program that shows they are there. */
const buildTools = [
  { program: "cc", package: "build-essential" },
  { program: "c++", package: "build-essential" },
  { program: "make", package: "build-essential" },
  { program: "python3", package: "python3" },
];

/**
 * Installs what is missing where we may (root on Debian); elsewhere says in one sentence what to install.
 */
export async function ensurePrograms(tools: { program: string; package: string }[]): Promise<void> {
  const missing = tools.filter((tool) => Bun.which(tool.program) === null);
  await installMissing(missing, (tool) => `\`${tool.program}\``);
}

async function installMissing<Part extends { package: string }>(
  missing: Part[],
  nameOf: (part: Part) => string,
): Promise<void> {
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => tool.package))];
  if (process.getuid?.() === 0 && Bun.which("apt-get") !== null) {
    say(`installing ${packages.join(" ")}`);
    const environment = { DEBIAN_FRONTEND: "noninteractive" };
    const install = ["apt-get", "install", "-y", "--no-install-recommends", ...packages];
    if ((await run(install, { env: environment })).ok) return;
    await run(["apt-get", "update"], { env: environment });
    if ((await run(install, { env: environment })).ok) return;
  }
  const names = missing.map(nameOf).join(", ");
  throw new BuildError(
    `${names} not found: install ${packages.join(" ")} (Debian: apt-get install ${packages.join(" ")})`,
  );
}

/**
 * Other people's C libraries that become part of ours: static, so that the executable needs nothing on its hosts.
 * Their licences are in docs/licences.md.
 */
const staticLibraries = [
  { archive: "libz.a", package: "zlib1g-dev" },
  { archive: "liblzma.a", package: "liblzma-dev" },
  { archive: "liblz4.a", package: "liblz4-dev" },
  { archive: "libsnappy.a", package: "libsnappy-dev" },
  { archive: "libzstd.a", package: "libzstd-dev" },
  { archive: "libpcre2-8.a", package: "libpcre2-dev" },
];

/** Where the compiler finds an archive; undefined when the package that has it is not installed. */
async function archivePath(archive: string): Promise<string | undefined> {
  const path = (await run(["cc", `-print-file-name=${archive}`])).output.trim();
  return path.includes("/") ? path : undefined;
}

/** The paths of the static libraries, for whoever links native/. */
export async function staticArchives(): Promise<string[]> {
  const paths = await Promise.all(staticLibraries.map((library) => archivePath(library.archive)));
  return paths.filter((path) => path !== undefined);
}

async function ensureArchives(): Promise<void> {
  const missing = async () => {
    const found = await Promise.all(staticLibraries.map((library) => archivePath(library.archive)));
    return staticLibraries.filter((_, index) => found[index] === undefined);
  };
  await installMissing(await missing(), (library) => library.archive);
  if ((await missing()).length > 0)
    throw new BuildError("a C library's package came without its static archive");
}

async function ensureHeaders(): Promise<void> {
  const probe = await run(["cc", "-fsyntax-only", "-include", "stdlib.h", "-x", "c", "/dev/null"]);
  if (!probe.ok)
    throw new BuildError(
      "the C library's headers are missing: install libc6-dev (Debian: apt-get install libc6-dev)",
    );
}

/** Where node-gyp finds Node's headers without asking the network: beside the `node` in PATH. */
function nodeHeaders(): string {
  const node = Bun.which("node");
  const prefixes = [node === null ? "" : dirname(dirname(realpathSync(node))), "/usr", "/usr/local"];
  const found = prefixes.find((prefix) => existsSync(join(prefix, "include/node/node_api.h")));
  if (found === undefined) {
    throw new BuildError(
      "Node's headers are missing: install nodejs with its headers (Debian: apt-get install nodejs libnode-dev npm)",
    );
  }
  return found;
}

/**
 * PATH with npm's own node-gyp first, which fits its Node; `npx` puts it there too. Without one, `bun install` takes the newest
 * of the registry, whatever Node that needs. Debian's npm has node-gyp as a package of its own, in PATH already.
 */
function pathWithNodeGyp(): string {
  const npm = Bun.which("npm");
  const path = process.env.PATH ?? "";
  return npm === null ? path : `${join(dirname(realpathSync(npm)), "node-gyp-bin")}:${path}`;
}

const zstdAddon = join(root, "node_modules/zstd-napi/build/Release/binding.node");

async function installPackages(): Promise<void> {
  // A linked node_modules belongs to another checkout: installing through it would change that one.
  if (lstatSync(join(root, "node_modules"), { throwIfNoEntry: false })?.isSymbolicLink() === true) return;
  const stamp = join(root, "node_modules/.node-x-lock");
  const wanted = sha256(readFileSync(join(root, "bun.lock")));
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted && existsSync(zstdAddon)) return;
  say("installing packages (zstd is compiled once, about half a minute)");
  const env = { npm_config_nodedir: nodeHeaders(), PATH: pathWithNodeGyp() };
  const install = await run([process.execPath, "install", "--frozen-lockfile"], { env });
  if (!install.ok) throw new BuildError(`\`bun install\` failed:\n${install.output}`);
  if (!existsSync(zstdAddon)) {
    const rebuild = await run([process.execPath, "install", "--frozen-lockfile", "--force"], { env });
    if (!existsSync(zstdAddon)) throw new BuildError(`zstd-napi could not be compiled:\n${rebuild.output}`);
  }
  writeFileSync(stamp, wanted);
}

// --- the C library -----------------------------------------------------------------------------------------------

/** Warnings are errors: the library handles bytes from the network. No -march: one binary serves many hosts. */
export const cFlags = [
  "-std=c11", "-O3", "-g0", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing",
  "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wvla", "-D_GNU_SOURCE", `-ffile-prefix-map=${root}=.`, `-I${join(root, "native")}`,
]; // prettier-ignore
/** What of them makes a difference: an object is the same wherever the checkout is. */
const cFlagsAnywhere = cFlags.map((flag) => flag.replaceAll(root, "."));
const linkFlags = [
  "-shared",
  "-Wl,--build-id=none",
  "-Wl,-z,defs",
  "-Wl,-z,relro",
  "-Wl,-z,now",
  "-s",
  // The archives stay private, and what nobody calls is left out.
  "-Wl,--exclude-libs,ALL",
  "-Wl,--gc-sections",
  "-static-libstdc++",
  "-static-libgcc",
  "-lm",
  "-pthread",
];

/** Every C source of the library, without its tests and fuzz targets. */
export function nativeSources(): string[] {
  return [...new Bun.Glob("native/**/*.{c,h}").scanSync({ cwd: root })]
    .filter((path) => !/^native\/(test|fuzz)\//.test(path))
    .sort();
}

/** Compiles native/ into `directory`/libnodex.bin and writes the digests that the loader checks. */
async function buildNative(directory: string): Promise<void> {
  const sources = nativeSources();
  const archives = await staticArchives();
  const compiler = (await run(["cc", "--version"])).output;
  const key = sha256(
    [
      ...[compiler, ...cFlagsAnywhere, ...linkFlags],
      ...archives.map((path) => path + sha256(readFileSync(path))),
      ...sources.map((path) => path + readFileSync(join(root, path), "utf8")),
    ].join("\0"),
  );
  const digestFile = join(directory, "digests.json");
  if (existsSync(digestFile) && JSON.parse(readFileSync(digestFile, "utf8")).sources === key) return;
  say("compiling native/");
  const objects = join(directory, "objects");
  mkdirSync(objects, { recursive: true });
  const link = mkdtempSync(join(tmpdir(), "node-x-link-"));
  try {
    const library = join(link, "libnodex.so");
    const units = await compileUnits(sources, compiler, objects);
    const linked = await run(["c++", ...units, ...archives, ...linkFlags, "-o", library]);
    if (!linked.ok) throw new BuildError(`the C library does not link:\n${linked.output}`);
    const libraryBytes = readFileSync(library);
    const addonBytes = readFileSync(zstdAddon);
    replaceFile(join(directory, "libnodex.bin"), libraryBytes);
    replaceFile(join(directory, "zstd.bin"), addonBytes);
    const digests = { libnodex: sha256(libraryBytes), zstd: sha256(addonBytes), sources: key };
    replaceFile(digestFile, `${JSON.stringify(digests, null, 2)}\n`);
    for (const name of readdirSync(objects))
      if (!units.includes(join(objects, name))) rmSync(join(objects, name), { force: true });
  } finally {
    rmSync(link, { recursive: true });
  }
}

/**
 * The objects of all units, in the order of the sources; an object whose source, headers, flags and compiler are the same is
 * used again. As many compilers at once as there are processors.
 */
async function compileUnits(sources: string[], compiler: string, directory: string): Promise<string[]> {
  const text = (path: string) => readFileSync(join(root, path), "utf8");
  const headers = sources.filter((path) => path.endsWith(".h")).map((path) => path + text(path));
  const common = sha256([compiler, ...cFlagsAnywhere, ...headers].join("\0"));
  const units = sources
    .filter((path) => path.endsWith(".c"))
    .map((path) => {
      const key = sha256([common, path, text(path)].join("\0")).slice(0, 32);
      return { path, object: join(directory, `${path.replaceAll("/", "-").replace(/\.c$/, "")}-${key}.o`) };
    });
  const missing = units.filter(({ object }) => !existsSync(object));
  const lane = async () => {
    for (let unit = missing.shift(); unit !== undefined; unit = missing.shift()) {
      // Under its name only when it is whole: the next build would take a part of it.
      const unfinished = `${unit.object}.${process.pid}`;
      const result = await run(["cc", ...cFlags, "-c", unit.path, "-o", unfinished]);
      if (!result.ok) throw new BuildError(`${unit.path} does not compile:\n${result.output}`);
      renameSync(unfinished, unit.object);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  return units.map(({ object }) => object);
}

// --- what runs elsewhere than in the executable ------------------------------------------------------------------

/** The library that sample pages import is the one that everybody gets from a frontend, not a copy inside of them. */
const clientFromFrontend: BunPlugin = {
  name: "the client library of the frontend",
  setup(builder) {
    builder.onResolve({ filter: /\/client(\/storage)?\.ts$/ }, () => ({
      path: "/client.js",
      external: true,
    }));
  },
};

/** Programs for browsers (the client library also for Node), embedded as text. */
const browserBundles: { entry: string; output: string; plugins?: BunPlugin[] }[] = [
  { entry: "src/hub/page/main.tsx", output: "hub/page.js.txt" },
  { entry: "src/reactive/client.ts", output: "reactive/client.js.txt" },
  // For tests of applications, by whatever runs them: `node-x stream init` writes it.
  { entry: "src/streams/api/index.ts", output: "streams/module.js.txt" },
  {
    entry: "src/reactive/samples/main.tsx",
    output: "reactive/samples.js.txt",
    plugins: [clientFromFrontend],
  },
];

/** Bundles what runs in browsers into `directory`, where a source of it has changed. */
async function buildPages(directory: string): Promise<void> {
  const sources = [
    ...new Bun.Glob("src/{hub,reactive,streams,core,native}/**/*.{ts,tsx}").scanSync({ cwd: root }),
    "bun.lock",
    "build.ts",
  ].sort();
  const key = sha256(
    [Bun.revision, ...sources.map((path) => path + readFileSync(join(root, path), "utf8"))].join("\0"),
  );
  const stamp = join(directory, "pages.key");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === key) return;
  const bundled = await run([process.execPath, import.meta.path, "--bundle-pages", directory]);
  if (!bundled.ok) throw new BuildError(`a program for browsers does not build:\n${bundled.output}`);
  replaceFile(stamp, key);
}

async function bundlePages(directory: string): Promise<void> {
  for (const { entry, output, plugins = [] } of browserBundles) {
    const result = await Bun.build({
      entrypoints: [join(root, entry)],
      target: "browser",
      format: "esm",
      minify: true,
      // Asked for only where they are: see core/seams/line-file.ts.
      external: ["node:*"],
      plugins,
      define: { "process.env.NODE_ENV": '"production"' },
      throw: false,
    });
    const [script] = result.outputs;
    if (!result.success || script === undefined) throw new BuildError(result.logs.map(String).join("\n"));
    mkdirSync(dirname(join(directory, output)), { recursive: true });
    replaceFile(join(directory, output), await script.text());
  }
  // A file of declarations cannot be imported as a text.
  const types = readFileSync(join(root, "src/reactive/client-types.d.ts"), "utf8");
  replaceFile(join(directory, "reactive/client.d.ts.txt"), types);
}

// --- the executable ----------------------------------------------------------------------------------------------

/** zstd-napi asks for its addon by a computed path, which cannot work inside an executable: ours is sealed. */
const zstdPlugin: BunPlugin = {
  name: "zstd-napi in one file",
  setup(build) {
    build.onLoad({ filter: /zstd-napi\/binding\.js$/ }, () => ({
      loader: "js",
      contents: `module.exports = require(${JSON.stringify(join(root, "src/native/addon.ts"))}).loadZstdAddon();`,
    }));
  },
};

async function commit(): Promise<string> {
  const head = await run(["git", "rev-parse", "HEAD"]);
  if (!head.ok) return "unknown";
  const status = await run(["git", "status", "--porcelain", "--untracked-files=no"]);
  return head.output.trim() + (status.output.trim() === "" ? "" : "+dirty");
}

/**
 * Bundles in a process of its own: the resolver remembers folders that it did not find, and packages may have been
 * installed a moment ago. Returns the executable's path.
 */
async function buildExecutable(outdir: string): Promise<string> {
  const bundled = await run([process.execPath, import.meta.path, "--bundle", outdir]);
  if (!bundled.ok) throw new BuildError(`the executable does not build:\n${bundled.output}`);
  return join(outdir, executableName);
}

// The base name is embedded in the executable: it must not vary between builds.
const executableName = "node-x";

/** Bundles into `outdir`/node-x. Tests add plugins, to build an executable with roles of their own. */
export async function bundle(outdir: string, morePlugins: BunPlugin[] = []): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  mkdirSync(outdir, { recursive: true });
  const threads = [...new Bun.Glob("src/**/*.thread.ts").scanSync({ cwd: root })].sort();
  const result = await Bun.build({
    // Threads are programs of their own; src/core/threads/ finds them by their path under src/.
    entrypoints: [join(root, "src/main.ts"), ...threads.map((path) => join(root, path))],
    target: "bun",
    format: "esm",
    bytecode: true,
    minify: true,
    sourcemap: "linked",
    plugins: [zstdPlugin, ...morePlugins],
    define: {
      NODE_X_VERSION: JSON.stringify(version),
      NODE_X_COMMIT: JSON.stringify(await commit()),
      NODE_X_COMPILED: "true",
      "process.env.NODE_ENV": '"production"',
    },
    compile: {
      outfile: join(outdir, executableName),
      autoloadBunfig: false,
      autoloadDotenv: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
    throw: false,
  });
  if (!result.success) throw new BuildError(result.logs.map(String).join("\n"));
}

/** What the executable is made of; a change of any of it makes dist/node-x stale. */
async function executableKey(): Promise<string> {
  const files = [
    ...new Bun.Glob("{src,configs}/**/*").scanSync({ cwd: root }),
    "bun.lock",
    "package.json",
    "build.ts",
    "dist/native/digests.json",
    "dist/pages.key",
  ];
  const contents = files.sort().map((path) => path + sha256(readFileSync(join(root, path))));
  return sha256([Bun.version, Bun.revision, await commit(), ...contents].join("\0"));
}

async function buildAll(): Promise<void> {
  const stamp = join(dist, "node-x.key");
  const key = await executableKey();
  if (existsSync(join(dist, "node-x")) && existsSync(stamp) && readFileSync(stamp, "utf8") === key) return;
  say("compiling dist/node-x");
  const staging = join(dist, "staging");
  const outfile = await buildExecutable(staging);
  renameSync(outfile, join(dist, "node-x"));
  rmSync(staging, { recursive: true, force: true });
  writeFileSync(stamp, key);
}

async function verify(): Promise<void> {
  const digests: string[] = [];
  for (const attempt of ["first", "second"]) {
    const directory = mkdtempSync(join(tmpdir(), `node-x-verify-${attempt}-`));
    try {
      await buildNative(join(directory, "native"));
      const library = sha256(readFileSync(join(directory, "native/libnodex.bin")));
      const executable = sha256(readFileSync(await buildExecutable(join(directory, "out"))));
      console.log(`${attempt.padEnd(6)}  libnodex ${library}  node-x ${executable}`);
      digests.push(library + executable);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
  if (digests[0] !== digests[1]) throw new BuildError("the two builds differ");
  console.log("identical");
}

/** Brings packages, the C library and the programs for browsers up to date: what `bun test` needs. */
export async function ensureNative(): Promise<void> {
  if (isBuilt) return;
  await ensurePrograms(buildTools);
  await ensureHeaders();
  await ensureArchives();
  await installPackages();
  await buildNative(nativeDist);
  await buildPages(dist);
}

/** Brings everything up to date, dist/node-x included. */
export async function ensureExecutable(): Promise<void> {
  if (isBuilt) return;
  await ensureNative();
  await buildAll();
}

if (import.meta.main) {
  try {
    const [, , step = "", place = ""] = process.argv;
    if (step === "--bundle") await bundle(place);
    else if (step === "--bundle-pages") await bundlePages(place);
    else if (process.argv.includes("--native")) await ensureNative();
    else await ensureExecutable();
    if (process.argv.includes("--verify")) await verify();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(`error: ${error.message}`);
    process.exit(1);
  }
}
