/** The shape of `sleap-rtc.toml`; defaults stand next to the fields. */
import { z } from "zod";
import { ICE_URL_RULE, parseIceUrl } from "./ice_url.ts";

const url = (protocols: readonly string[]): z.ZodString =>
  z.string().refine(
    (text) => URL.canParse(text) && protocols.includes(new URL(text).protocol),
    `a URL beginning with ${protocols.map((each) => `${each}//`).join(" or ")}`,
  );

const nonEmpty = z.string().min(1, "a text that is not empty");

const command = z.array(nonEmpty).min(
  1,
  'a list: the program first, then its arguments, e.g. ["sleap-nn", "train"]',
);

/** What is filled in where it stands in a word of a command, by kind of job. */
const PLACEHOLDERS = {
  train: ["{config}", "{run_name}", "{publish_port}", "{controller_port}"],
  track: ["{arguments}"],
} as const;

/** A command whose placeholders are known: one that is not would reach the program as it is, hours later. */
function commandOf(kind: keyof typeof PLACEHOLDERS): typeof command {
  const known: readonly string[] = PLACEHOLDERS[kind];
  return command.superRefine((words, context) => {
    for (const [index, word] of words.entries()) {
      // Braces of a script, or of a variable in it, are its own.
      const found = /\s/.test(word) ? [] : word.match(/(?<!\$)\{[a-z_]+\}/gi) ?? [];
      const unknown = found.filter((each) => !known.includes(each));
      const isPart = word !== "{arguments}" && word.includes("{arguments}");
      if (unknown.length === 0 && !isPart) continue;
      const message = kind === "track"
        ? "{arguments} as a word of its own, and no other placeholder"
        : `of placeholders only ${known.join(", ")}`;
      context.addIssue({ code: "custom", path: [index], message });
    }
  });
}

/** Characters of a room secret, at least: what `openssl rand -hex 16` makes has twice as many. */
export const MIN_SECRET_LENGTH = 16;
/** What a room secret should be, in words. */
export const SECRET_RULE =
  `a text of at least ${MIN_SECRET_LENGTH} characters; make one with: openssl rand -hex 16`;
/** Key of the one value that no message and no list shows. */
export const SECRET_KEY = "room_secret";
/** Variable that wins over {@link SECRET_KEY}; jobs never see it. */
export const SECRET_VARIABLE = "SLEAP_RTC_ROOM_SECRET";

const environment = z.strictObject({
  signaling_websocket: url(["ws:", "wss:"]).optional()
    .describe("WebSocket of the signaling server, `ws://` or `wss://`; also `SLEAP_RTC_SIGNALING_WS`"),
  signaling_http: url(["http:", "https:"]).optional()
    .describe("its HTTP API, `http://` or `https://`; also `SLEAP_RTC_SIGNALING_HTTP`"),
});

const iceUrl = z.string().refine((text) => parseIceUrl(text) !== undefined, ICE_URL_RULE);

const iceServer = z.strictObject({
  urls: z.union(
    [iceUrl, z.array(iceUrl).min(1, "at least one address")],
    `${ICE_URL_RULE}, or a list of those`,
  ).describe("one address, `stun:host:port` or `turn:host:port`, or a list of them"),
  username: nonEmpty.optional().describe("user at the TURN server, which needs one"),
  credential: nonEmpty.optional().describe("password there; neither logged nor shown"),
}).superRefine((server, context) => {
  if (![server.urls].flat().some((text) => parseIceUrl(text)?.kind === "turn")) return;
  for (const [key, what] of [["username", "the user"], ["credential", "the password"]] as const) {
    if (server[key] !== undefined) continue;
    context.addIssue({ code: "custom", path: [key], message: `${what} at the TURN server` });
  }
});

/** Whether a text is an address such as `s3://bucket` and not a path. */
export function hasScheme(text: string): boolean {
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(text);
}

/** Whether a text is `s3://bucket` or `s3://bucket/prefix`, the bucket named by the rules of AWS. */
export function isS3Path(text: string): boolean {
  const [, prefix] = /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:\/(.*))?$/s.exec(text) ?? [undefined, "."];
  if (prefix === undefined || prefix === "") return true;
  // deno-lint-ignore no-control-regex -- control characters are what is refused
  return !/(?:^|\/)\.{0,2}\/|(?:^|\/)\.{1,2}$|[\x00-\x1f\x7f]/.test(prefix);
}

const storagePath = nonEmpty.refine(
  (text) => !hasScheme(text) || isS3Path(text),
  "a path, or s3://bucket or s3://bucket/prefix with a bucket of 3 to 63 letters a-z, digits, '.' and '-'",
);

const localPath = nonEmpty.refine((text) => !hasScheme(text), "a path of this machine");

/** Jobs run in folders of their own: from where would a relative path begin? */
const absolutePath = localPath.refine(
  (text) => hasScheme(text) || /^(?:[~$\\/]|[a-z]:[\\/])/i.test(text),
  "an absolute path, or one that begins with ~ or $NAME",
);

/** One place, or one per operating system, so that a whole lab can share one file. */
const basePath = z.union([
  storagePath,
  z.strictObject({
    linux: storagePath.optional(),
    darwin: storagePath.optional(),
    windows: storagePath.optional(),
  }),
], 'a path, or { darwin = "/Volumes/lab", linux = "/mnt/vast" }');

const storage = z.strictObject({
  base_path: basePath.describe(
    "where the storage is on this machine: a path, in which `~`, `$NAME` and `${NAME}` are filled in; one for each " +
      'system, `{ linux = "…", darwin = "…", windows = "…" }`; or `s3://bucket/prefix`',
  ),
  type: z.string().default("local").describe("`local`, `nfs`, …: told to people, not acted upon"),
  description: z.string().default("").describe("for people"),
  confine_to_user_subdir: z.boolean("true or false").default(false)
    .describe("whether jobs, and links, are kept to the folder of the user that the job names"),
});

/** What a backend may be called: the name travels. */
export const BACKEND_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
/** {@link BACKEND_NAME} in words. */
export const BACKEND_NAME_RULE = "letters, digits, '_', '.' and '-' in a backend's name";

/**
 * What a recognised line `sleap-nn train` becomes (PROTOCOL.md section 12.1). `{config}` and `{run_name}` are filled in;
 * `{publish_port}` and `{controller_port}` are ports, free for each run, for the trainer's ZeroMQ sockets to connect to.
 */
export const TRAIN_COMMAND: readonly string[] = [
  "sleap-nn",
  "train",
  "--config-name",
  "{config}",
  "--config-dir",
  ".",
  "trainer_config.ckpt_dir=models",
  "trainer_config.run_name={run_name}",
  "trainer_config.zmq.controller_port={controller_port}",
  "trainer_config.zmq.publish_port={publish_port}",
  "trainer_config.train_data_loader.num_workers=0",
  "trainer_config.val_data_loader.num_workers=0",
];

/** What a recognised line `sleap-nn track` becomes (PROTOCOL.md section 13.2). `{arguments}` becomes those of the line. */
export const TRACK_COMMAND: readonly string[] = ["sleap-nn", "track", "{arguments}"];

/**
 * Environment variables that a job sees where the worker has them. Those of the dynamic linker (`LD_*`) are not
 * among them: the sandbox refuses to pass them on.
 */
export const JOB_ENVIRONMENT: readonly string[] = [
  "PATH",
  "HOME",
  "USER",
  "LANG",
  "LC_ALL",
  "TZ",
  "TMPDIR",
  "XDG_CACHE_HOME",
  "CUDA_VISIBLE_DEVICES",
  "CUDA_HOME",
  "NVIDIA_VISIBLE_DEVICES",
  "CONDA_PREFIX",
  "VIRTUAL_ENV",
  "OMP_NUM_THREADS",
];

const jobVariable = z.string().regex(/^[A-Za-z_]\w*$/, "the name of a variable: letters, digits and '_'")
  .refine(
    (name) => name !== SECRET_VARIABLE,
    "another variable: jobs do not get the room secret",
  );

const LABELS_RULE = "a list of at most 32 texts";
const label = z.string("a text").regex(
  /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/,
  "letters, digits, '_', '.' and '-' in a label",
);

/** Longest time limit of a job, in seconds: timers take no more. */
const MAX_TIME_LIMIT = 2_000_000;
const TIME_LIMIT_RULE = `a number of seconds above 0, at most ${MAX_TIME_LIMIT} (23 days)`;

/** How a package may go to a worker; `auto` is whatever is best. */
export const TRANSFERS = ["auto", "in-place", "copy", "rtc"] as const;
/** See {@link TRANSFERS}. */
export type Transfer = typeof TRANSFERS[number];

/** Longest time, in seconds, that a job may wait for a worker. */
export const MAX_WAIT = 30 * 86_400;
const WAIT_RULE = `a number of seconds, 0 for not to wait, at most ${MAX_WAIT} (30 days)`;

const job = (
  kind: keyof typeof PLACEHOLDERS,
  fallback: readonly string[],
): z.ZodPrefault<z.ZodObject<{ command: z.ZodDefault<typeof command> }>> =>
  z.strictObject({
    command: commandOf(kind).default([...fallback])
      .describe(
        "the program, then its arguments, without a shell; filled in: " +
          PLACEHOLDERS[kind].map((each) => `\`${each}\``).join(", "),
      ),
  }).prefault({});

/** The whole file. The descriptions become docs/configuration.md. */
export const fileSchema = z.strictObject({
  default: z.strictObject({
    connection_timeout: z.number("a number of seconds above 0").positive("a number of seconds above 0")
      // Timers take at most 24.8 days and fire at once beyond that.
      .max(86_400, "a number of seconds above 0, at most 86400 (a day)").default(30)
      .describe("seconds to wait for the signaling server and for a worker's answer"),
    room_secret: z.string(SECRET_RULE).min(MIN_SECRET_LENGTH, SECRET_RULE).optional().describe(
      "what clients and workers prove to each other that they know, unseen by the signaling server: at least " +
        `${MIN_SECRET_LENGTH} characters, in a file that only you can read; also \`${SECRET_VARIABLE}\``,
    ),
    ice_servers: z.array(iceServer, "a list of tables, each with urls: [[default.ice_servers]]").default([])
      .describe("STUN and TURN servers, used before those that the signaling server tells of"),
    ice_transport: z.enum(["all", "relay"], '"all" or "relay"').default("all")
      .describe("`relay`: connect through TURN servers only; also `--relay-only`"),
  }).prefault({}).describe("What clients and workers have in common."),
  environments: z.record(z.string(), environment).default({})
    .describe("Signaling servers by name; `SLEAP_RTC_ENV` chooses one, a single one needs no choice."),
  storage: z.record(z.string().regex(BACKEND_NAME, BACKEND_NAME_RULE), storage).default({})
    .describe(
      "Storage that several machines see; the name travels, the path does not: [storage](storage.md).",
    ),
  worker: z.strictObject({
    scratch: localPath.optional().describe(
      "where packages are unpacked and run, and journals of jobs are kept; default: a private folder in the system's " +
        "temporary folder; also `--scratch`",
    ),
    max_jobs: z.int("a whole number from 1 to 64").min(1, "a whole number from 1 to 64")
      .max(64, "a whole number from 1 to 64").optional()
      .describe("jobs at once; default: one for each GPU that `nvidia-smi` tells of, and one without"),
    labels: z.array(label, LABELS_RULE).max(32, LABELS_RULE).default([])
      .describe("what jobs may ask for by name, told to everybody in the room"),
    job_time_limit: z.number(TIME_LIMIT_RULE).positive(TIME_LIMIT_RULE).max(MAX_TIME_LIMIT, TIME_LIMIT_RULE)
      .optional().describe("seconds after which a job is ended; default: never"),
    job_environment: z.array(jobVariable).default([]).describe(
      "names of further environment variables that jobs see, besides `PATH`, `HOME`, `CUDA_VISIBLE_DEVICES` and the like",
    ),
    sandbox: z.enum(["none", "bwrap"], '"none" or "bwrap"').default("none")
      .describe("what job programs run in: `bwrap` is [bubblewrap](security.md#bubblewrap)"),
    sandbox_network: z.boolean("true or false").default(false)
      .describe("whether job programs in a sandbox see the network"),
    sandbox_read: z.array(absolutePath).default([])
      .describe("absolute paths that job programs in a sandbox may read besides the system's"),
    jobs: z.strictObject({ train: job("train", TRAIN_COMMAND), track: job("track", TRACK_COMMAND) }).prefault(
      {},
    )
      .describe("What a package's recognised lines become."),
  }).prefault({}).describe("What only workers read."),
  client: z.strictObject({
    storage_backend: nonEmpty.optional()
      .describe("backend that packages are copied into when several would do; also `--storage-backend`"),
    user_subdir: nonEmpty.optional()
      .describe("folder below the backend in which copies are made; also `--user-subdir`"),
    output_dir: localPath.optional()
      .describe("where results go; default: the folder of the package; also `--output-dir`"),
    required_storage: nonEmpty.optional()
      .describe("only workers that have this storage backend get jobs; also `--required-storage`"),
    transfer: z.enum(TRANSFERS, TRANSFERS.map((each) => `"${each}"`).join(" or ")).default("auto")
      .describe("how packages go to workers; also `--transfer`"),
    labels: z.array(z.string().min(1).max(64), "a list of labels").max(16, "at most 16 labels").default([])
      .describe("labels of which a worker must have all; also `--label`"),
    wait: z.number(WAIT_RULE).min(0, WAIT_RULE).max(MAX_WAIT, WAIT_RULE).optional().describe(
      "seconds that a job waits for a free worker; default: a day, and a minute where the server has no queue; also " +
        "`--wait`",
    ),
  }).prefault({}).describe("What only clients read."),
});

/** The content of a file, defaults filled in. */
export type FileContent = z.infer<typeof fileSchema>;
