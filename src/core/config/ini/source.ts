/**
 * INI files as a source of configuration: read, understood by the dialect of the role that they are for.
 *
 * The role is the one that the command line asks for, else the one whose own sections the file has. The originals have no
 * instance names: an instance is called after the working directory (`/srv/dht/mem-dht-1` is `mem-dht-1`), else after its role.
 */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import type { ConfigSources, SchemaCatalog } from "../load.ts";
import type { ParsedText } from "../parse.ts";
import type { Notice } from "../problem.ts";
import type { IniDialect } from "./dialect.ts";
import { mapIni } from "./map.ts";
import { parseIni, type IniFile, type IniText } from "./parse.ts";

/** A configuration file that was read. */
export interface IniSource {
  parsed: ParsedText;
  /** What is known of role and instance without the keys of that name. */
  claim: { role: string; instance: string } | undefined;
  notices: Notice[];
  /** Defaults that differ from those of the schema, by key name. */
  defaults: Record<string, unknown>;
}

export async function readIni(
  files: readonly IniFile[],
  sources: ConfigSources,
  catalog: SchemaCatalog,
): Promise<IniSource> {
  const ini = parseIni(files);
  const { parsed } = ini;
  const nothing: IniSource = { parsed, claim: undefined, notices: [], defaults: {} };
  const dialects = await dialectsOf(catalog);
  const role = sources.role ?? roleOf(ini, dialects);
  if (role === undefined) {
    const sections = [...dialects].flatMap(([name, { ownSections }]) =>
      ownSections.map((own) => `[${own}] (${name})`),
    );
    if (parsed.problems.length === 0)
      parsed.mistake(0, ["role"], `a section that tells the role: ${sections.join(", ")}`, "none of them");
    return nothing;
  }
  const dialect = dialects.get(role);
  if (dialect === undefined) {
    const known = [...dialects.keys()].join(", ");
    parsed.misreading(0, `JSON with comments: only the files of ${known} may be INI`, "an INI file");
    return { ...nothing, claim: { role, instance: role } };
  }
  const context = { workingDirectory: sources.workingDirectory, hasFile: existsSync };
  const notices = mapIni(ini, dialect, await catalog.schemaOf(role), context);
  const claim = { role, instance: instanceOf(sources.workingDirectory) ?? role };
  return { parsed, claim, notices, defaults: dialect.defaults(context) };
}

async function dialectsOf(catalog: SchemaCatalog): Promise<Map<string, IniDialect>> {
  const dialects = new Map<string, IniDialect>();
  for (const name of catalog.names) {
    const dialect = await catalog.dialectOf?.(name);
    if (dialect !== undefined) dialects.set(name, dialect);
  }
  return dialects;
}

/** Sections first: keys of one program may be in the file of another, too. */
function roleOf(ini: IniText, dialects: ReadonlyMap<string, IniDialect>): string | undefined {
  const all = [...dialects];
  const bySection = all.find(([, { ownSections }]) => ownSections.some((own) => ini.sections.has(own)));
  const byKey = all.find(([, { ownKeys = [] }]) => ownKeys.some(([section, key]) => ini.get(section, key)));
  return (bySection ?? byKey)?.[0];
}

function instanceOf(workingDirectory: string): string | undefined {
  const name = basename(workingDirectory);
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name) ? name : undefined;
}
