/**
 * fio on a volume whose server is killed: every block is written with a checksum of itself, so whatever survives, each
 * block must be one that fio wrote, whole.
 */
const BLOCK = 4096;

async function fio(uri: string, mib: number, words: string[]): Promise<{ code: number; output: string }> {
  const child = spawn(uri, mib, words);
  const output = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
  return { code: await child.exited, output };
}

function spawn(uri: string, mib: number, words: string[]) {
  const common = [
    "--name=load", "--ioengine=nbd", `--uri=${uri}`, `--bs=${BLOCK}`, `--size=${mib}m`,
    "--verify=crc32c", "--verify_state_save=0", "--output-format=terse",
  ]; // prettier-ignore
  return Bun.spawn(["fio", ...common, ...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
}

/** Writes every block once. */
export async function fillByFio(uri: string, mib: number): Promise<void> {
  const { code, output } = await fio(uri, mib, [
    "--rw=write",
    "--iodepth=16",
    "--do_verify=0",
    "--end_fsync=1",
  ]);
  if (code !== 0) throw new Error(`fio could not write: ${output}`);
}

/** Writes at random with flushes, until the server is gone; the result ends it. */
export function loadByFio(uri: string, mib: number, seed: number): { end(): Promise<void> } {
  const words = ["--rw=randwrite", "--iodepth=16", "--fsync=32", "--do_verify=0", `--randseed=${seed}`];
  const child = spawn(uri, mib, [...words, "--time_based", "--runtime=60"]);
  return {
    async end() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** Throws when a block is not one that fio wrote there. */
export async function verifyByFio(uri: string, mib: number, when: string): Promise<void> {
  const { code, output } = await fio(uri, mib, ["--rw=read", "--iodepth=16", "--verify_fatal=1"]);
  // fio ends with 0 when it could not connect, too; then it has read nothing.
  const read = Number(
    output
      .split("\n")
      .find((line) => line.startsWith("3;"))
      ?.split(";")[5] ?? 0,
  );
  if (code !== 0 || /verify/.test(output) || read * 1024 < mib << 20)
    throw new Error(
      `${when}: fio finds a block that it did not write (${code}, ${read} KiB read): ${output}`,
    );
}
