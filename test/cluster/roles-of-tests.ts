/** Stands for src/roles.ts in the test executable: the same names, with the roles of tests behind them. */
import { NxError } from "../../src/core/errors.ts";
import { configKeys, isPortKey } from "../../src/core/config/keys.ts";
import type { RoleAbout } from "../../src/core/role.ts";
import { testCatalog, testRoles } from "./test-roles.ts";

export const roles = testRoles.map((role) => ({
  name: role.name,
  about: async () => role,
  load: async () => role,
}));
export const roleNames: readonly string[] = roles.map(({ name }) => name);

export function roleEntry(name: string) {
  const entry = roles.find((role) => role.name === name);
  if (entry === undefined) throw new NxError("NX_ROLE_UNKNOWN", `there is no role "${name}"`);
  return entry;
}

export const schemaCatalog = testCatalog;

export async function defaultPorts(about: RoleAbout): Promise<Record<string, number>> {
  const ports = configKeys(about.config).filter(
    (key) => isPortKey(key.name) && typeof key.defaultValue === "number",
  );
  return Object.fromEntries(ports.map((key) => [key.name, key.defaultValue as number]));
}
