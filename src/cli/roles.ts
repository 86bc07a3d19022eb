/** `node-x roles`: what this executable can run, and what each role promises. */
import { colorsFor, printJson, printTable } from "./print.ts";
import { defineVerb } from "./verb.ts";

export const rolesVerb = defineVerb({
  name: "roles",
  summary: "List the roles: what each is for, its default ports, what an acknowledged write survives",
  args: { json: { type: "boolean", description: "Print JSON" } },
  examples: [
    { command: "node-x roles", shows: "List all roles" },
    { command: "node-x roles --json", shows: "The same for programs" },
  ],
  async run({ args, stdout, environment }) {
    const { roles, defaultPorts } = await import("../roles.ts");
    const listed = await Promise.all(
      roles.map(async (role) => {
        const about = await role.about();
        return {
          name: about.name,
          summary: about.summary,
          ports: await defaultPorts(about),
          durability: about.durability,
        };
      }),
    );
    if (args.json) {
      printJson(stdout, listed);
      return 0;
    }
    const portsText = (ports: Record<string, number>) =>
      Object.entries(ports)
        .map(([key, port]) => `${key} ${port}`)
        .join(", ");
    const rows = listed.map((role) => [role.name, role.summary, portsText(role.ports), role.durability]);
    printTable(
      stdout,
      ["ROLE", "WHAT IT IS", "DEFAULT PORTS", "WHAT A WRITE SURVIVES"],
      rows,
      colorsFor(stdout, environment),
    );
    return 0;
  },
});
