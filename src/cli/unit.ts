/** `node-x unit`: prints the systemd unit of a role, for those who install by hand. */
import { resolve } from "node:path";
import { usageError } from "./strict.ts";
import { defineVerb } from "./verb.ts";

const STOP_TIMEOUT_MS = 35_000;

export const unitVerb = defineVerb({
  name: "unit",
  summary: "Print a hardened systemd unit for a role",
  description:
    "The same unit that `deploy` installs. By hand: write it to /etc/systemd/system/node-x-INSTANCE.service, the target beside it " +
    "(--target), the user with systemd-sysusers (--sysusers), then `systemctl enable --now`. " +
    "The exposure that `systemd-analyze security` gives is 1.5 or below; a unit that drives LVM (--lvm) runs as root and has more.",
  args: {
    role: { type: "positional", required: true, description: "The role" },
    config: {
      type: "string",
      alias: "c",
      valueHint: "FILE",
      description: "The configuration file [/etc/node-x/ROLE.json]",
    },
    instance: { type: "string", valueHint: "NAME", description: "The instance's name [ROLE]" },
    program: {
      type: "string",
      valueHint: "PATH",
      default: "/usr/local/bin/node-x",
      description: "The executable",
    },
    "data-dir": {
      type: "string",
      valueHint: "PATH",
      description: "The data directory [/var/lib/node-x/INSTANCE]",
    },
    lvm: { type: "boolean", description: "The role creates logical volumes and snapshots" },
    target: {
      type: "boolean",
      description: "Print the role's target instead, which starts all its instances",
    },
    sysusers: { type: "boolean", description: "Print the line for sysusers.d that makes the user instead" },
  },
  examples: [
    { command: "node-x unit dht > /etc/systemd/system/node-x-dht.service", shows: "A unit for one node" },
    {
      command: "node-x unit dht --target > /etc/systemd/system/dht.target",
      shows: "The target of all dht nodes",
    },
  ],
  async run({ args, stdout, workingDirectory }) {
    const { roleEntry } = await import("../roles.ts");
    const { sysusersLine, targetText, unitText } = await import("../cluster/units/unit.ts");
    const role = roleEntry(args.role).name;
    if (args.target && args.sysusers) throw usageError("give either --target or --sysusers", ["unit"]);
    if (args.target) stdout.write(targetText(role));
    else if (args.sysusers) stdout.write(sysusersLine(role));
    else {
      const instance = args.instance ?? role;
      const dataDir = resolve(workingDirectory, args["data-dir"] ?? `/var/lib/node-x/${instance}`);
      const config = resolve(workingDirectory, args.config ?? `/etc/node-x/${role}.json`);
      const program = resolve(workingDirectory, args.program);
      stdout.write(
        unitText({
          description: `node-x ${instance}`,
          role,
          command: [program, "run", role, "--config", config, "--set", `dataDir=${dataDir}`],
          workingDirectory: "/",
          dataDir,
          environment: {},
          stopTimeoutMs: STOP_TIMEOUT_MS,
          privileges: args.lvm === true ? ["lvm"] : [],
        }),
      );
    }
    return 0;
  },
});
