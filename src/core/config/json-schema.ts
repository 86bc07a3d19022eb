/**
 * A role's schema as JSON Schema, for editors that complete and check configuration files.
 *
 * What the loader fills in (role, instance, dataDir) is not required, and `$schema` is allowed, because a
 * file that names its schema must satisfy it.
 */
import { z } from "zod";

const filledByLoader = ["role", "instance", "dataDir"];
/** Notes of ours that are no JSON Schema keywords. */
const ownNotes = [
  "isReloadable",
  "fileKind",
  "isProgram",
  "peerOf",
  "privilege",
  "unusedBeside",
  "wanted",
  "absent",
  "example",
];

type JsonSchema = z.core.JSONSchema.JSONSchema;

const schemaKey = {
  type: "string",
  description: "Where editors find this schema. Not read otherwise.",
} as const;

function generate(schema: z.ZodObject): JsonSchema {
  return z.toJSONSchema(schema, {
    io: "input",
    override: ({ jsonSchema }) => {
      for (const note of ownNotes) delete jsonSchema[note];
    },
  });
}

/** Of a file that is no role's. */
export function plainJsonSchema(title: string, schema: z.ZodObject): JsonSchema {
  const generated = generate(schema);
  return { title, ...generated, properties: { $schema: schemaKey, ...generated.properties } };
}

/** Draft 2020-12. */
export function jsonSchemaOf(role: string, schema: z.ZodObject): JsonSchema {
  const generated = generate(schema);
  const required = (generated.required ?? []).filter((name) => !filledByLoader.includes(name));
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: `node-x configuration of role ${role}`,
    ...generated,
    properties: {
      $schema: schemaKey,
      ...generated.properties,
      role: { const: role, description: "The role. Taken from the file's name when absent." },
    },
    ...(required.length > 0 ? { required } : { required: undefined }),
  };
}

/** The text of configs/schema/<role>.json. */
export function jsonSchemaText(role: string, schema: z.ZodObject): string {
  return `${JSON.stringify(jsonSchemaOf(role, schema), null, 2)}\n`;
}
