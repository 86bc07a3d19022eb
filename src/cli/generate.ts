/**
 * Writes the files that are made from the program's own tables: configs/, docs/config.md, docs/config-ini.md, docs/errors.md,
 * docs/commands.md, and what families make (family-docs.ts).
 *
 *   bun src/cli/generate.ts        after a schema, an error or a verb changed
 *
 * A test compares what is checked in with what this would write.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { iniReference } from "../core/config/ini/reference.ts";
import { configReference, errorReference } from "../core/config/reference.ts";
import { familyDocuments } from "../family-docs.ts";
import { roles } from "../roles.ts";
import { scalePage } from "../scale/page.ts";
import { commandReference } from "./commands-page.ts";
import { rootVerb } from "./main.ts";
import { allSamples, type Files } from "./samples.ts";

/** Every generated file, by path from the root of the checkout. */
export async function generatedFiles(): Promise<Files> {
  const files: Files = new Map();
  for (const [path, text] of await allSamples()) files.set(`configs/${path}`, text);
  const abouts = await Promise.all(roles.map((role) => role.about()));
  files.set("docs/config.md", configReference(abouts));
  files.set("docs/config-ini.md", iniReference(abouts));
  files.set("docs/errors.md", errorReference());
  files.set("docs/SCALE.md", scalePage());
  files.set("docs/commands.md", await commandReference(rootVerb));
  for (const [name, text] of await familyDocuments()) files.set(`docs/${name}`, text);
  return files;
}

if (import.meta.main) {
  const root = join(import.meta.dir, "../..");
  for (const [path, text] of await generatedFiles()) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    console.log(path);
  }
}
