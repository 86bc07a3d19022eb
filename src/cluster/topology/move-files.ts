/**
 * The files of a prefix with one instance on another host: its placement in `prefix.cluster.json`, and its own `host` where
 * that names an address of the host it leaves. Comments and the order of keys stay.
 */
import { applyEdits, modify } from "jsonc-parser";
import { NxError } from "../../core/errors.ts";
import { parseText } from "../../core/config/parse.ts";
import type { Cluster, Host, Instance } from "./types.ts";

export interface FileEdit {
  /** Name in the cluster's directory. */
  name: string;
  text: string;
}

const format = { formattingOptions: { insertSpaces: true, tabSize: 2, eol: "\n" } };

/** `textOf` gives a file of the directory, undefined when there is none. Throws NX_USAGE when it cannot be. */
export function moveFiles(
  { prefix }: Cluster,
  instance: Instance,
  from: Host,
  to: string,
  textOf: (name: string) => string | undefined,
): FileEdit[] {
  const clusterName = `${prefix}.cluster.json`;
  const clusterText = textOf(clusterName) ?? "{}\n";
  const hosts = (parse(clusterText).hosts ?? {}) as Record<
    string,
    { address?: { private?: string; public?: string } }
  >;
  const target = Object.hasOwn(hosts, to) ? hosts[to] : undefined;
  if (target === undefined)
    throw new NxError("NX_USAGE", `--to ${to}: ${clusterName} has no such host`, {
      hint:
        Object.keys(hosts).length === 0
          ? `name the host in "hosts" of ${clusterName} first`
          : `its hosts are ${Object.keys(hosts).join(", ")}`,
    });
  const shortName = instance.name.slice(prefix.length + 1);
  const edits = [{ name: clusterName, text: set(clusterText, ["placement", shortName], to) }];
  const [file] = instance.files;
  if (file === undefined) return edits;
  const address = file.name.endsWith(".config")
    ? instance.ports[0]?.host
    : (parse(textOf(file.name) ?? "{}").host as string | undefined);
  const isOfOldHost = [from.name, from.address.private, from.address.public].some(
    (known) => known !== undefined && known === address,
  );
  if (!isOfOldHost) return edits;
  if (file.name.endsWith(".config"))
    throw new NxError(
      "NX_USAGE",
      `${file.name} names ${address}, an address of ${from.name}: all members of the group read it`,
      {
        hint: "change that line and deploy; the data directory has to be copied by hand",
      },
    );
  edits.push({
    name: file.name,
    text: set(textOf(file.name) ?? "{}", ["host"], target.address?.private ?? target.address?.public ?? to),
  });
  return edits;
}

function set(text: string, path: string[], value: string): string {
  return applyEdits(text, modify(text, path, value, format));
}

function parse(text: string): Record<string, unknown> {
  const { value } = parseText("", text);
  return value;
}
