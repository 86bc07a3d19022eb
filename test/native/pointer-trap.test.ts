/**
 * Why typed arrays are passed at each call and no address of one is ever kept (bun:ffi on Bun 1.4.5).
 *
 * The negative control keeps the address of a small typed array, as bindings often do. The engine moves such an array's
 * bytes when somebody looks at its `buffer` (and after optimisation, unpredictably, by itself): C then reads memory that is
 * no longer the array's, and checksums are wrong. The same loop without a kept address is right.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";

const ROUNDS = 20_000;

const program = (pass: string) => `
  import { dlopen, ptr } from "bun:ffi";
  const library = dlopen(process.env.LIBRARY, { nx_crc32c_part: { args: ["u32", "ptr", "u64", "u64"], returns: "u32" } }).symbols;
  console.log("linked");
  function count() {
    let wrong = 0;
    for (let round = 0; round < ${ROUNDS}; round++) {
      const bytes = new Uint8Array(9);
      const kept = ${pass};
      if (bytes.buffer.byteLength !== 9) throw new Error("not nine bytes");
      for (let index = 0; index < 9; index++) bytes[index] = 0x31 + index;
      if (library.nx_crc32c_part(0, kept, 0, 9) !== 0xe3069283) wrong++;
    }
    return wrong;
  }
  console.log(count());
`;

/** Runs in a process of its own: reading freed memory may also crash. */
function wrongChecksums(pass: string): number {
  const library = join(import.meta.dir, "../../dist/native/libnodex.bin");
  const { exitCode, stdout } = Bun.spawnSync([process.execPath, "-e", program(pass)], {
    env: { ...process.env, LIBRARY: library },
  });
  const [linked, wrong] = stdout.toString().split("\n");
  expect(linked).toBe("linked");
  return exitCode === 0 ? Number(wrong) : Number.POSITIVE_INFINITY;
}

test("a typed array that is passed at each call is read right", () => {
  expect(wrongChecksums("bytes")).toBe(0);
});

test("negative control: a kept address of a small typed array is caught by its checksums", () => {
  expect(wrongChecksums("ptr(bytes)")).toBeGreaterThan(0);
});
