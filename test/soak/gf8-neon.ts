/**
 * The NEON kernel of native/gf8 under emulation: native/test/test-gf8.c built for AArch64 by Debian's cross compiler and
 * run by qemu-user, where its kernel is compared with the portable one on random shapes.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensurePrograms } from "../../build.ts";
import type { Soak } from "./run.ts";

const native = join(import.meta.dir, "../../native");

async function run(command: string[], env: Record<string, string> = {}): Promise<string> {
  const child = Bun.spawn(command, { env: { ...process.env, ...env }, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed:\n${stdout}${stderr}`);
  return stdout;
}

export const soak: Soak = {
  summary: "the NEON kernel against the portable one, under qemu-user",
  async run([shapes = "1000"]) {
    await ensurePrograms([
      { program: "aarch64-linux-gnu-gcc", package: "gcc-aarch64-linux-gnu" },
      { program: "aarch64-linux-gnu-gcc", package: "libc6-dev-arm64-cross" },
      { program: "qemu-aarch64", package: "qemu-user" },
    ]);
    const directory = mkdtempSync(join(tmpdir(), "node-x-neon-"));
    try {
      const sources = readdirSync(join(native, "gf8")).filter((name) => name.endsWith(".c"));
      const program = join(directory, "test-gf8");
      await run([
        ...[
          "aarch64-linux-gnu-gcc",
          "-static",
          "-std=c11",
          "-O3",
          "-D_GNU_SOURCE",
          "-Wall",
          "-Wextra",
          "-Werror",
          `-I${native}`,
        ],
        ...[
          join(native, "test/test-gf8.c"),
          ...sources.map((name) => join(native, "gf8", name)),
          join(native, "nx.c"),
        ],
        ...["-lpthread", "-o", program],
      ]);
      const output = await run(["qemu-aarch64", program], { GF8_SHAPES: shapes });
      if (!output.includes("# kernels: neon portable"))
        throw new Error(`the NEON kernel did not run:\n${output}`);
      return { shapes: Number(shapes), tests: output.match(/^ok /gm)?.length ?? 0 };
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
};
