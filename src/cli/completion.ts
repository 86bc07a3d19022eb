/**
 * `node-x completion`: static completion scripts, made from the tree of verbs.
 *
 * Invariant: a script only compares the typed words with constants of its own and never evaluates them, so
 * completing after `$(command)` runs nothing; and it never starts the executable, so TAB answers at once.
 */
import type { ArgDef } from "citty";
import { roleNames } from "../roles.ts";
import { defineVerb, spellingsOf, type Verb } from "./verb.ts";

/** One place in the tree: what may follow the words that lead to it. */
interface Place {
  /** `config show`; empty at the root. */
  path: string;
  verbs: { name: string; summary: string }[];
  options: { spelling: string; summary: string; takesValue: boolean; values: string[] }[];
  /** Words for the first positional; empty means files. */
  positionals: string[];
}

async function placesOf(verb: Verb, path: readonly string[] = []): Promise<Place[]> {
  const subVerbs = await Promise.all(Object.values(verb.subVerbs).map((load) => load()));
  const options = Object.entries(verb.args)
    .filter(([, definition]) => definition.type !== "positional")
    .flatMap(([name, definition]) => optionPlaces(name, definition));
  const place: Place = {
    path: path.join(" "),
    verbs: subVerbs.map(({ name, summary }) => ({ name, summary })),
    options: [...options, { spelling: "--help", summary: "Show help", takesValue: false, values: [] }],
    positionals: firstPositionalWords(verb),
  };
  const below = await Promise.all(subVerbs.map((sub) => placesOf(sub, [...path, sub.name])));
  return [place, ...below.flat()];
}

function optionPlaces(name: string, definition: ArgDef): Place["options"] {
  const takesValue = definition.type === "string" || definition.type === "enum";
  const values = definition.type === "enum" ? (definition.options ?? []) : [];
  const isOnByDefault = definition.type === "boolean" && definition.default === true;
  const spellings = isOnByDefault ? [`--no-${name}`] : spellingsOf(name, definition);
  return spellings.map((spelling) => ({
    spelling,
    summary: definition.description ?? "",
    takesValue,
    values,
  }));
}

/** Roles where a role is wanted, shells for `completion`; otherwise files. */
function firstPositionalWords(verb: Verb): string[] {
  const [first] = Object.entries(verb.args).filter(([, definition]) => definition.type === "positional");
  if (first === undefined) return [];
  const [name, definition] = first;
  if (name === "role" || name === "key") return [...roleNames];
  if (name === "what") return [...roleNames, "cluster"];
  return name === "shell" ? (definition.description ?? "").split(", ") : [];
}

/** A word for a single-quoted shell string. Every constant of ours goes through here. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function bashScript(places: Place[]): string {
  const cases = places.map((place) => {
    const values = place.options.filter((option) => option.takesValue);
    const valueCases = values.map((option) => {
      const words = option.values.length > 0 ? `words=${quoted(option.values.join(" "))}` : "files=1";
      return `        ${option.spelling}) ${words}; return ;;`;
    });
    const listed = [...place.verbs.map((verb) => verb.name), ...place.positionals].join(" ");
    return [
      `    ${quoted(place.path)})`,
      ...(valueCases.length > 0 ? ['      case "$previous" in', ...valueCases, "      esac"] : []),
      `      options=${quoted(place.options.map((option) => option.spelling).join(" "))}`,
      `      words=${quoted(listed)}`,
      ...(listed === "" ? ["      files=1"] : []),
      "      ;;",
    ].join("\n");
  });
  const children = places.flatMap((place) => place.verbs.map((verb) => `${place.path} ${verb.name}`.trim()));
  return `# bash completion for node-x. Source it, or put it into ~/.local/share/bash-completion/completions/node-x
# Typed words are compared, never evaluated.

# Sets options, words and files for the place "$1" after the word "$2".
_node_x_place() {
  local place="$1" previous="$2"
  options='' words='' files=''
  case "$place" in
${cases.join("\n")}
  esac
}

_node_x() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local place='' next index options words files
  for ((index = 1; index < COMP_CWORD; index++)); do
    next="\${place:+$place }\${COMP_WORDS[index]}"
    case "$next" in
      ${children.map(quoted).join("|")}) place="$next" ;;
    esac
  done
  COMPREPLY=()
  _node_x_place "$place" "$previous"
  if [[ "$current" == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  elif [[ -n "$words" ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  elif [[ -n "$files" ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}
complete -F _node_x node-x
`;
}

function zshScript(places: Place[]): string {
  const cases = places.map((place) => {
    const described = (words: { name: string; summary: string }[]) =>
      words.map(({ name, summary }) => quoted(`${name}:${summary}`)).join(" ");
    const valueCases = place.options
      .filter((option) => option.takesValue)
      .map(
        (option) =>
          `        ${option.spelling}) ${option.values.length > 0 ? `compadd -- ${option.values.map(quoted).join(" ")}` : "_files"}; return ;;`,
      );
    const options = place.options.map(({ spelling, summary }) => ({ name: spelling, summary }));
    const words = [...place.verbs, ...place.positionals.map((name) => ({ name, summary: "" }))];
    return [
      `    (${quoted(place.path)})`,
      ...(valueCases.length > 0 ? ['      case "$previous" in', ...valueCases, "      esac"] : []),
      `      listed=(${described(words)})`,
      `      options=(${described(options)})`,
      "      ;;",
    ].join("\n");
  });
  const children = places.flatMap((place) => place.verbs.map((verb) => `${place.path} ${verb.name}`.trim()));
  return `#compdef node-x
# zsh completion for node-x. Put it into a directory of $fpath as _node-x.
# Typed words are compared, never evaluated.

_node_x() {
  local place='' next previous="\${words[CURRENT-1]}" current="\${words[CURRENT]}" index
  local -a listed options
  for ((index = 2; index < CURRENT; index++)); do
    next="\${place:+$place }\${words[index]}"
    case "$next" in
      (${children.map(quoted).join("|")}) place="$next" ;;
    esac
  done
  case "$place" in
${cases.join("\n")}
  esac
  if [[ "$current" == -* ]]; then
    _describe -o option options
  elif (( \${#listed} )); then
    _describe word listed
  else
    _files
  fi
}
if [[ "\${funcstack[1]}" == _node-x ]]; then _node_x "$@"; else compdef _node_x node-x; fi
`;
}

function fishScript(places: Place[]): string {
  const fishQuoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const children = places.flatMap((place) => place.verbs.map((verb) => `${place.path} ${verb.name}`.trim()));
  const lines = places.flatMap((place) => {
    const condition = fishQuoted(`__node_x_at "${place.path}"`);
    const verbs = place.verbs.map(
      (verb) =>
        `complete -c node-x -f -n ${condition} -a ${fishQuoted(verb.name)} -d ${fishQuoted(verb.summary)}`,
    );
    const words = place.positionals.map(
      (word) => `complete -c node-x -f -n ${condition} -a ${fishQuoted(word)}`,
    );
    const options = place.options.map((option) => {
      const name = option.spelling.startsWith("--")
        ? `-l ${option.spelling.slice(2)}`
        : `-s ${option.spelling.slice(1)}`;
      const value = !option.takesValue
        ? ""
        : option.values.length > 0
          ? ` -x -a ${fishQuoted(option.values.join(" "))}`
          : " -r -F";
      return `complete -c node-x -n ${condition} ${name}${value} -d ${fishQuoted(option.summary)}`;
    });
    return [...verbs, ...words, ...options];
  });
  return `# fish completion for node-x. Put it into ~/.config/fish/completions/node-x.fish
# Typed words are compared, never evaluated.

# True when the words typed so far lead to the place "$argv[1]".
function __node_x_at
    set -l place ''
    for word in (commandline -opc)[2..-1]
        set -l next (string trim -- "$place $word")
        switch "$next"
            case ${children.map(fishQuoted).join(" ")}
                set place "$next"
        end
    end
    test "$place" = "$argv[1]"
end

${lines.join("\n")}
`;
}

const shells: Record<string, (places: Place[]) => string> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

export const completionVerb = defineVerb({
  name: "completion",
  summary: "Print a completion script for bash, zsh or fish",
  args: { shell: { type: "positional", required: true, description: "bash, zsh, fish" } },
  examples: [
    { command: "source <(node-x completion bash)", shows: "Complete in this shell" },
    {
      command: "node-x completion fish > ~/.config/fish/completions/node-x.fish",
      shows: "Complete in every fish",
    },
  ],
  async run({ args, stdout }) {
    const { rootVerb } = await import("./main.ts");
    const { didYouMean, usageError } = await import("./strict.ts");
    const generate = Object.hasOwn(shells, args.shell) ? shells[args.shell] : undefined;
    if (generate === undefined) {
      const known = Object.keys(shells);
      throw usageError(
        `unknown shell "${args.shell}"${didYouMean(args.shell, known)}; wanted one of ${known.join(", ")}`,
        ["completion"],
      );
    }
    stdout.write(generate(await placesOf(rootVerb)));
    return 0;
  },
});
