/**
 * The systemd unit of one instance, and the target of a role.
 *
 * Invariant: everything that `systemd-analyze security` rewards is on, but for MemoryDenyWriteExecute=, which bun:ffi cannot
 * live with (it needs its JIT), and for what a server needs: sockets. A test holds the exposure at 1.5 or below. A unit that
 * drives LVM needs root, devices and some capabilities; it says so and has a score of its own.
 *
 * `dht.target` starts and stops every dht instance of the host. Instances are started at boot when they were started by
 * somebody: that is what `systemctl enable` keeps.
 */
import { Exit } from "../../core/errors.ts";
import type { NamedFilesPlace } from "../services/services.ts";
import type { Privilege } from "../topology/privileges.ts";

export interface UnitSpec {
  /** For people: `p.dht0 (dht)`. */
  description: string;
  role: string;
  /** Words of the program; the first is an absolute path. */
  command: readonly string[];
  workingDirectory: string;
  /** Absolute. Below /var/lib systemd makes it and owns it (StateDirectory=). */
  dataDir: string;
  environment: Record<string, string>;
  stopTimeoutMs: number;
  /** None when missing. */
  privileges?: readonly Privilege[] | undefined;
  /** Private files of root's: systemd hands copies to the instance's user (LoadCredential=, systemd 247). */
  namedFiles?: NamedFilesPlace | undefined;
}

const STATE_ROOT = "/var/lib/";
const OPEN_FILES_MAX = 100_000;
const WATCHDOG_SECONDS = 30;
const START_SECONDS = 90;

/** What is on in every unit, in the order of systemd.exec(5). */
const sandbox = [
  "NoNewPrivileges=yes",
  "ProtectSystem=strict",
  "ProtectHome=yes",
  "PrivateTmp=yes",
  "PrivateIPC=yes",
  "PrivateMounts=yes",
  "ProtectHostname=yes",
  "ProtectKernelTunables=yes",
  "ProtectKernelLogs=yes",
  "ProtectControlGroups=yes",
  "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "LockPersonality=yes",
  "RemoveIPC=yes",
  "KeyringMode=private",
  "SystemCallArchitectures=native",
  "SystemCallErrorNumber=EPERM",
];

const unprivileged = [
  "PrivateDevices=yes",
  "DevicePolicy=closed",
  "PrivateUsers=yes",
  "ProtectClock=yes",
  "ProtectKernelModules=yes",
  "ProtectProc=invisible",
  "ProcSubset=pid",
  "SystemCallFilter=@system-service",
  "SystemCallFilter=~@privileged @resources",
  // For threads that compile code, to let the others go first (core/kernel/helper-threads.ts).
  "SystemCallFilter=sched_setattr",
];

/** The device mapper is driven through /dev/mapper/control, the volumes appear in /dev. */
const forLvm = [
  "CapabilityBoundingSet=CAP_SYS_ADMIN CAP_DAC_OVERRIDE CAP_FOWNER CAP_MKNOD CAP_SYS_NICE CAP_IPC_LOCK",
  "DevicePolicy=closed",
  "DeviceAllow=/dev/mapper/control rw",
  "DeviceAllow=block-device-mapper rw",
  "DeviceAllow=block-* rw",
  "ReadWritePaths=-/etc/lvm -/run/lvm -/run/lock/lvm -/dev",
  "ProtectClock=yes",
  "ProtectKernelModules=yes",
  "SystemCallFilter=@system-service @mount",
  "SystemCallFilter=~@reboot @swap @raw-io",
];

/** The user that the instances of a role run as. */
export function userOf(role: string): string {
  return `nx-${role}`;
}

/** A line for sysusers.d(5) that makes it. */
export function sysusersLine(role: string): string {
  return `u ${userOf(role)} - "node-x ${role}" ${STATE_ROOT}node-x -\n`;
}

export function unitText(spec: UnitSpec): string {
  const { description, role, workingDirectory, stopTimeoutMs, environment } = spec;
  const sections = [
    [
      "[Unit]",
      `Description=${oneLine(description)}`,
      "After=network-online.target",
      "Wants=network-online.target",
      `PartOf=${role}.target`,
      "# Restarted for ever, with a pause: a cluster heals when the last peer comes back.",
      "StartLimitIntervalSec=0",
    ],
    [
      "[Service]",
      "Type=notify",
      "NotifyAccess=main",
      ...commandLines(spec),
      "ExecReload=/bin/kill -HUP $MAINPID",
      `WorkingDirectory=${pathValue(workingDirectory)}`,
      ...Object.entries(environment).map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}`),
      "# Two doors into any program built with Bun.",
      "UnsetEnvironment=BUN_OPTIONS BUN_BE_BUN",
      `TimeoutStartSec=${START_SECONDS}`,
      `TimeoutStopSec=${Math.max(1, Math.ceil(stopTimeoutMs / 1000))}`,
      `WatchdogSec=${WATCHDOG_SECONDS}`,
      "Restart=on-failure",
      "RestartSec=1",
      `RestartPreventExitStatus=${Exit.usage} ${Exit.config}`,
      "KillMode=mixed",
      `LimitNOFILE=${OPEN_FILES_MAX}`,
      "OOMScoreAdjust=-500",
      "UMask=0077",
    ],
    identity(spec),
    [
      "# MemoryDenyWriteExecute= stays off: bun:ffi needs the JIT.",
      ...sandbox,
      ...(spec.privileges?.includes("lvm") === true ? forLvm : unprivileged),
    ],
    ["", "[Install]", `WantedBy=${role}.target`],
  ];
  return `${sections.map((lines) => lines.join("\n")).join("\n")}\n`.replace("\n[Service]", "\n\n[Service]");
}

/** The words that start it. Where they name a private file, it is the copy that only this service can see. */
function commandLines({ command, namedFiles }: UnitSpec): string[] {
  if (namedFiles === undefined) return [`ExecStart=${command.map(quoted).join(" ")}`];
  const { directory, names } = namedFiles;
  const words = command.map((word) =>
    word.includes(`=${directory}/`)
      ? `"${word.split(directory).map(escaped).join("${CREDENTIALS_DIRECTORY}")}"`
      : quoted(word),
  );
  const sources = names.map(
    (name) => `LoadCredential=${name}:${oneLine(`${directory}/${name}`).replaceAll("%", "%%")}`,
  );
  return [`ExecStart=${words.join(" ")}`, ...sources];
}

/** Who it runs as, and where it may write. */
function identity({ role, dataDir, privileges = [] }: UnitSpec): string[] {
  const state = dataDir.startsWith(STATE_ROOT) ? dataDir.slice(STATE_ROOT.length) : undefined;
  if (privileges.includes("lvm"))
    return [
      "# Logical volumes are made by root only; what root may do here is cut down below.",
      ...(state === undefined ? [`ReadWritePaths=-${pathValue(dataDir)}`] : stateLines(state)),
    ];
  const user = userOf(role);
  const capabilities = privileges.includes("lowPort") ? "CAP_NET_BIND_SERVICE" : "";
  return [
    `User=${user}`,
    `Group=${user}`,
    ...(state === undefined
      ? [
          `ExecStartPre=+/usr/bin/install -d -o ${user} -g ${user} -m 0700 ${quoted(dataDir)}`,
          `ReadWritePaths=-${pathValue(dataDir)}`,
        ]
      : stateLines(state)),
    `CapabilityBoundingSet=${capabilities}`,
    `AmbientCapabilities=${capabilities}`,
  ];
}

function stateLines(state: string): string[] {
  return [`StateDirectory=${pathValue(state)}`, "StateDirectoryMode=0700"];
}

/** Every service of the role on this host, of whatever prefix. */
export function targetText(role: string): string {
  return [
    "[Unit]",
    `Description=All ${role} instances of this host`,
    "After=network-online.target",
    "",
    "[Install]",
    "WantedBy=multi-user.target",
    "",
  ].join("\n");
}

/** One word of a command line: systemd knows quotes, `%` and `$` (systemd.service(5)). */
function quoted(word: string): string {
  return /^[A-Za-z0-9_./:=@,+-]+$/.test(word) ? word : `"${escaped(word)}"`;
}

function escaped(text: string): string {
  return text
    .replace(/[\\"]/g, "\\$&")
    .replaceAll("%", "%%")
    .replaceAll("$", "$$$$")
    .replace(
      /[\x00-\x1f\x7f]/g,
      (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
    );
}

/** A path as the whole value of a setting. */
function pathValue(path: string): string {
  return oneLine(path).replaceAll("%", "%%").replaceAll(" ", "\\x20");
}

function oneLine(text: string): string {
  return text.replace(/[\x00-\x1f\x7f]+/g, " ");
}
