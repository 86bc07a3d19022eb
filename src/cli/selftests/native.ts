/** Self-test: the C library has the digest it was built with, loads here, and speaks the ABI this program expects. */
import { assert } from "../../core/errors.ts";
import { link, NATIVE_ABI } from "../../native/library.ts";

export function nativeAbi(): string {
  const abi = link({ nx_abi: { args: [], returns: "u32" } }).nx_abi();
  assert(abi === NATIVE_ABI, `the C library has ABI ${abi}, wanted ${NATIVE_ABI}`);
  return `C library loaded and sealed, ABI ${abi}`;
}
