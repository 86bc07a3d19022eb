/** Who runs this process, as people call him. */
import { userInfo } from "node:os";

/** Without USER in the environment the runtime says "unknown" of everybody. */
export function userName(): string {
  const { uid, username } = userInfo();
  if (uid === 0) return "root";
  return username === "unknown" ? `uid ${uid}` : username;
}
