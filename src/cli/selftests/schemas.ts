/**
 * Self-test: every role's schema accepts its own sample and produces a JSON Schema; the declarations are
 * whole.
 */
import { assert } from "../../core/errors.ts";
import { configKeys } from "../../core/config/keys.ts";
import { jsonSchemaOf } from "../../core/config/json-schema.ts";
import { environmentName } from "../../core/config/overrides.ts";
import { parseText } from "../../core/config/parse.ts";
import { sampleText } from "../../core/config/sample.ts";
import { roles } from "../../roles.ts";

export async function schemasHold(): Promise<string> {
  let keyCount = 0;
  for (const role of roles) {
    const { config } = await role.about();
    const keys = configKeys(config);
    const variables = new Set(
      keys.filter((key) => !key.isGroup).map((key) => environmentName(role.name, key.path)),
    );
    assert(
      variables.size === keys.filter((key) => !key.isGroup).length,
      `two keys of ${role.name} share a variable`,
    );
    const parsed = parseText(`${role.name}.json`, sampleText(role.name, config, "schema"));
    assert(parsed.problems.length === 0, `the sample of ${role.name} does not parse`);
    const { $schema: _, ...value } = parsed.value;
    const result = config.safeParse({ ...value, role: role.name, instance: role.name, dataDir: role.name });
    assert(result.success, `the sample of ${role.name} is refused`);
    assert(
      Object.keys(jsonSchemaOf(role.name, config).properties ?? {}).length > 0,
      `role ${role.name} has no JSON Schema`,
    );
    keyCount += keys.length;
  }
  return `${roles.length} roles, ${keyCount} keys`;
}
