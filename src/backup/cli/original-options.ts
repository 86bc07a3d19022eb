/**
 * The options of the original programs, and what each means: parsed and shown from here. Only declarations.
 *
 * A meaning alone is a flag. Defaults are in brackets.
 */
export type OptionTexts = Record<string, string | [value: string, meaning: string]>;

export const commonOptions: OptionTexts = {
  p: ["PORT", "where the controller and other servers connect (5000)"],
  b: ["DIR", "where the volumes' files are (/var/forest/walb/ROLE)"],
  id: ["NAME", "how this server is called (the host's name)"],
  l: ["FILE", "the log, relative to -b; -: standard error (-)"],
  maxconn: ["N", "connections at once (10)"],
  fg: ["N", "long jobs at once (2)"],
  to: ["SECONDS", "of silence until a connection is cut (10)"],
  ka: "probe silent peers",
  kaidle: ["SECONDS", "of silence before the first probe (1800)"],
  kaintvl: ["SECONDS", "between probes (60)"],
  kacnt: ["N", "probes that may stay unanswered (10)"],
  "allow-exec": "run programs for the controller: for everybody who reaches the port",
};

export const archiveOptions: OptionTexts = {
  vg: ["NAME", "keep images as logical volumes of this group (images are files)"],
  tp: ["NAME", "in this thin pool of the group"],
  discard: ["RULE", "what a discard does to an image: ignore, zero or passdown (ignore)"],
  wn: ["N", "diffs that one step of a replication merges (1000)"],
  fi: ["SIZE", "of a base image that arrives, after which it is synced (1G)"],
  autoresize: "grow a base image when a larger volume sends",
  "keep-one-cold-snap": "of cold snapshots only the newest stays",
  maxopen: ["N", "diffs that an apply or restore opens together (200)"],
  "maxopen-virt": ["N", "diffs that bhash and virt-full-scan open together; 0 is no limit (0)"],
  "apply-sleep-pct": ["PERCENT", "of its time that an apply sleeps (0)"],
  "sync-cmpr": ["TYPE:LEVEL:THREADS", "compression of replications (snappy:0:1)"],
  "lock-time-th": ["SECONDS", "no effect"],
};

export const proxyOptions: OptionTexts = {
  bg: ["N", "sends at once (1)"],
  wd: ["MIB", "of diffs that are merged into one send (128)"],
  wn: ["N", "diffs that are merged into one send (1000)"],
  delay: ["SECONDS", "before the first try again (1)"],
  maxdelay: ["SECONDS", "between tries, at most (300)"],
  rto: ["SECONDS", "without a log, after which a refused send is given up (1800)"],
  stop: "volumes do not start by themselves",
};

export const storageOptions: OptionTexts = {
  archive: ["HOST:PORT", "the primary archive; needed"],
  proxy: ["HOST:PORT,…", "the proxies, preferred ones first; needed"],
  bg: ["N", "logs shipped at once (1)"],
  wl: ["MIB", "of log that one transfer carries (128)"],
  snapintvl: ["SECONDS", "between points that nobody asked for (10)"],
  delay: ["SECONDS", "before the first try again (1)"],
  maxdelay: ["SECONDS", "between tries, at most (300)"],
  fst: ["SIZE", "that a full copy or comparison reads each second; 0 is no limit (0)"],
  tsdintvl: ["SECONDS", "between questions how far the archive is (60)"],
  "sync-cmpr": ["TYPE:LEVEL:THREADS", "compression of full copies and comparisons (snappy:0:1)"],
};

/** Of the controller; every command takes them, before or behind its name. */
export const walbcOptions: Record<string, string> = {
  "-a HOST": "the server (needed)",
  "-p PORT": "its port (needed)",
  "-to SECONDS": "of silence until the connection is given up (10)",
  "-id NAME": "how the server's log calls us (this host's name)",
  "-retry N": "tries again, for get and status (2)",
  "-debug": "no effect",
  "-json": "print the answer as JSON",
  "-h": "this, or behind a command what it takes",
};
