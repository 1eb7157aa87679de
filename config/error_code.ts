/**
 * The one table of error codes: what errors carry, logs and JSON events show, the wire says, and a program's exit code
 * follows from. A code never changes its meaning; docs/troubleshooting.md has the same table for people.
 */

/** What a program ends with. */
export const EXIT = {
  /** Everything that was asked for was done. */
  done: 0,
  /** The job failed, a check found something wrong, files made trouble, or anything that no other number is for. */
  failed: 1,
  /** The command line, a setting or the input is wrong; nothing was begun. */
  wrong: 2,
  /** No server or worker that would do is there, or none has time; nothing was begun. */
  absent: 3,
  /** The worker was lost after the job had begun: the job may go on, so do not submit it again. */
  lost: 4,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

/** What a code means, and what to do about it; each one sentence without a full stop. */
type Entry = readonly [meaning: string, remedy: string];

const FAILED = {
  FAILED: ["Something failed that has no code of its own", "read the message: it says what was found"],
  UNEXPECTED: [
    "Something failed that this program does not know: an error of the system, or a mistake of its own",
    "read the message; run again with --verbose, and report it with the log if it stays",
  ],
  JOB_FAILED: [
    "The worker ran the job, and a run failed or nothing came of it",
    "read the job's log: sleap-rtc-client logs JOB",
  ],
  PREFLIGHT_FAILED: [
    "The look into the package found what would keep the job from running; nothing was sent",
    "see all that was found: sleap-rtc-client check PACKAGE; --no-preflight sends it all the same",
  ],
  JOB_STOPPED: [
    "The job was cancelled, ran out of its time, or ended with its worker",
    "what it made until then comes with: sleap-rtc-client attach JOB",
  ],
  NO_RESULTS: [
    "The job has made nothing, or its worker keeps the results no longer",
    "see what is known of it: sleap-rtc-client jobs",
  ],
  JOB_RUNNING: [
    "The job still runs: it is not begun anew, and has no results yet",
    "follow it: sleap-rtc-client attach JOB",
  ],
  JOB_ENDED: [
    "The queue was given a job again that has ended; it does not run a second time",
    "submit it as a new job",
  ],
  JOB_REFUSED: [
    "The worker does not do what it was asked for, in the state that it is in",
    "try again when its job has ended, or choose another worker",
  ],
  JOB_PROGRAM: [
    "The worker cannot start the program that trains or tracks",
    "install sleap-nn there, or set command under [worker.jobs.train] in the worker's sleap-rtc.toml",
  ],
  JOURNAL_FAILED: [
    "The worker cannot write down what becomes of its jobs",
    "look at the worker's --scratch folder: room, permissions",
  ],
  CLIENT_LEFT: [
    "The client left before the job had begun, so that the worker gave it up",
    "submit the job again",
  ],
  TRAINER_LINK: [
    "The trainer's progress port does not speak as expected; the job itself goes on",
    "compare the version of sleap-nn on the worker with the one that docs/protocol.md names",
  ],
  WORKER_LACKS_FEATURE: [
    "The worker cannot do this: it is a Python worker, or an older one",
    "use a worker of this program and version, or another method: a .zip file, the data channel",
  ],
  NO_SHARED_BACKEND: [
    "No storage backend of the worker holds the file that was asked about",
    "mount the storage on both machines, or let the file travel over the data channel",
  ],
  OTHER_STORAGE: [
    "Client and worker see different files under the same path: the backend's name means two storages",
    "compare base_path on both sides; sleap-rtc-client config suggest FILE finds the right one",
  ],
  SANDBOX_BROKEN: [
    "The worker's sandbox could not be checked",
    "run sleap-rtc-worker --check-sandbox again with --verbose",
  ],
  ADDON_FAILED: [
    "The native WebRTC library cannot be unpacked or loaded",
    "set TMPDIR to a folder of your own that allows programs and has 10 MB free",
  ],
  ENGINE_STOPPED: [
    "The worker's sandboxed engine ended by an error",
    "read the log above it; start the worker again",
  ],
  STORE_FAILED: [
    "What the signaling server remembers (--store) cannot be opened, read or written",
    "read the message: another server may use it, or the file be damaged or another program's",
  ],
  PORT_IN_USE: ["Another program listens at this port", "stop it, or choose another port; 0 takes any"],
  CANNOT_LISTEN: [
    "The server may not, or cannot, listen at this address",
    "check --host and the port; ports below 1024 need rights",
  ],
} as const satisfies Record<string, Entry>;

const FILES = {
  PATH_OUTSIDE: [
    "A path leads out of the shared storage, by its text or by a link",
    "give both sides the same storage, and let no link lead out of it",
  ],
  PATH_MISSING: [
    "There is no such file or folder on this side",
    "is the storage mounted, and is the file flushed to it?",
  ],
  PATH_DENIED: [
    "A file or folder may not be read or written",
    "check owner, group and mode: ls -la FOLDER and id on that machine",
  ],
  PATH_CHANGED: ["A file went away between the check and its use", "submit the job again"],
  FILE_CORRUPT: [
    "A file is damaged, or not of the kind that it should be",
    "make it again; on shared storage the client sends it over the data channel by itself",
  ],
  FILE_EXISTS: ["Something of that name is there already, and nothing is overwritten", "move it away"],
  FILE_KIND: ["A file is where a folder should be, or a folder where a file should be", "check the path"],
  LINK_UNUSABLE: [
    "A link in the package leads nowhere, or to a folder",
    "put the file there itself, or leave the link out",
  ],
  NO_BACKEND: ["No storage backend is configured", "add a [storage.NAME] section to sleap-rtc.toml"],
  BACKEND_NOT_AVAILABLE: [
    "This side has no storage backend of that name",
    "compare the names of the [storage.NAME] sections on both sides; they have to be the same",
  ],
  STORAGE_GONE: [
    "The storage no longer answers: a dead mount, or an object store that cannot be reached",
    "mount it again; sleap-rtc-client storage verify tells when it works",
  ],
  STORAGE_READ_ONLY: ["The storage is read-only", "mount it writable, or choose another backend"],
  STORAGE_FAILED: ["The storage failed in a way of its own", "read the message: it has the storage's words"],
  NO_SPACE: [
    "There is not enough room: 120 % of the package's size has to be free",
    "make room: sleap-rtc-client storage clean --older-than 14d",
  ],
  DISK_FULL: [
    "The disk or the quota ran full in the middle of the work",
    "make room: sleap-rtc-client storage clean --older-than 14d; results that were made are kept",
  ],
  COPY_TIMEOUT: [
    "A copy to shared storage took too long and no longer advanced",
    "measure the storage: sleap-rtc-client storage verify",
  ],
  SOURCE_CHANGED: [
    "A file was written to while it was copied or sent",
    "wait until nothing writes to it any more, and try again",
  ],
  TRANSFER_FAILED: [
    "Files did not arrive whole over the data channel",
    "run the same command again: it goes on where it stopped",
  ],
  TRANSFER_CORRUPT: [
    "Other bytes arrived than were sent",
    "send them again; if that fails as well, test the disks and the memory of both machines",
  ],
  TRANSFER_REFUSED: ["The other side does not take these files", "its reason stands in the message"],
  TRANSFER_CANCELLED: ["The other side called the transfer off", "run the same command again"],
  RESULTS_NOT_UNPACKED: [
    "The results came, but could not be unpacked",
    "they lie where the message says: make room, and unpack them yourself",
  ],
} as const satisfies Record<string, Entry>;

const WRONG = {
  USAGE: ["The command line is not understood", "see --help behind the command"],
  CONFIG_INVALID: [
    "A setting, a variable or a flag is wrong; for a file the message names line, column and key",
    "mend it, and check with: sleap-rtc-client config check",
  ],
  SESSION_STRING_INVALID: [
    "The text behind --session-string is none, or its end was cut off",
    "copy the whole line that the worker printed",
  ],
  PACKAGE_INVALID: [
    "The package, labels or configuration cannot be read, or are not what they should be",
    'export a package from SLEAP again ("Export Training Job Package…")',
  ],
  TRANSFER_IMPOSSIBLE: [
    "The way that --transfer asks for is not possible with this package, or with this worker",
    "leave --transfer out, or see what is possible: sleap-rtc-client plan PACKAGE",
  ],
  SANDBOX_UNAVAILABLE: [
    'The worker is to run jobs in bubblewrap (sandbox = "bwrap"), which cannot be used there',
    'install bubblewrap and allow user namespaces, or set sandbox = "none"',
  ],
  ROOM_SECRET_MISMATCH: [
    "One side has a room secret, and the other has none or another; or somebody stands between them",
    "give both sides the same SLEAP_RTC_ROOM_SECRET or room_secret",
  ],
  JOB_UNKNOWN: [
    "Neither this machine nor the worker knows a job of this id",
    "see sleap-rtc-client jobs; a worker remembers a job for three days",
  ],
  INVALID_JOB: [
    "The job's requirements break the rules, or its id is another client's",
    "check --required-storage and the other flags of the queue; submit it as a new job",
  ],
} as const satisfies Record<string, Entry>;

const ABSENT = {
  SIGNALING_UNREACHABLE: [
    "The signaling server is not there, does not answer, or answers nonsense",
    "is it running, and are SLEAP_RTC_SIGNALING_WS and SLEAP_RTC_SIGNALING_HTTP, or the environment, right?",
  ],
  SIGNALING_REFUSED: [
    "The signaling server does not let this peer into the room",
    "take the session string that the worker shows now: rooms and tokens expire",
  ],
  NO_MATCHING_WORKER: [
    "No worker of the room has what the job requires, busy ones included",
    "see sleap-rtc-client workers; start one, or ask for less",
  ],
  WORKERS_BUSY: ["Every suitable worker serves another client", "try again later"],
  WORKER_GONE: [
    "The worker was lost before the job began; nothing runs",
    "submit the job again when it, or another, is there",
  ],
  WORKER_SILENT: [
    "The worker is connected, but did not answer in time",
    "look at its log; is a storage of its own stuck?",
  ],
  WORKER_STOPPING: ["The worker is being stopped and begins no job", "choose another worker"],
  QUEUE_TIMEOUT: [
    "All workers that have what the job requires are busy, and the job does not wait any longer",
    "let it wait longer, or start another worker",
  ],
  QUEUE_STOPPED: [
    "The signaling server's queue is not running here",
    "try again: the server is starting or stopping",
  ],
  QUEUE_FULL: ["The signaling server holds as many jobs as it can", "try again later"],
  CONNECTION_FAILED: [
    "No connection between client and worker came about, or it ended",
    "see docs/network.md: does a firewall forbid UDP, is there a TURN server? sleap-rtc-client doctor tells",
  ],
  LINK_UNKNOWN: [
    "The worker does not know the connection that the client came back to: it was started anew",
    "submit the job again, or attach to it",
  ],
  INVALID_JSON: ["A peer sent the signaling server a message that is no JSON", "update that peer"],
  INVALID_MESSAGE: [
    "A message lacks a field, is too large or breaks the rules",
    "update the peer that sent it",
  ],
  UNKNOWN_MESSAGE_TYPE: [
    "The signaling server does not know a message of this type",
    "update the server; peers go on without what they asked for",
  ],
  NOT_IN_ROOM: [
    "A peer spoke before it had registered, or in another's name",
    "start that peer again; it registers first",
  ],
  PEER_NOT_FOUND: ["The peer that a message is for is not in the room", "see sleap-rtc-client workers"],
  PEER_NOT_IN_ROOM: [
    "The peer that a message is for is in another room",
    "take the session string of the worker's present room",
  ],
  DELIVERY_FAILED: [
    "The signaling server could not hand a message on: the other peer does not read, or just left",
    "nothing: it is tried again",
  ],
  RELAY_REFUSED: [
    "This signaling server carries no data (--relay-limit 0)",
    "set up a TURN server, see docs/network.md",
  ],
} as const satisfies Record<string, Entry>;

const LOST = {
  WORKER_LOST: [
    "The connection to the worker was lost during the job, which goes on if the worker lives",
    "come back to it: sleap-rtc-client attach JOB",
  ],
} as const satisfies Record<string, Entry>;

const INTERRUPTED = {
  INTERRUPTED: [
    "The program was stopped by Ctrl-C or SIGTERM",
    "nothing; jobs that go on are in: sleap-rtc-client jobs",
  ],
} as const satisfies Record<string, Entry>;

const GROUPS = [
  [EXIT.failed, FAILED],
  [EXIT.failed, FILES],
  [EXIT.wrong, WRONG],
  [EXIT.absent, ABSENT],
  [EXIT.lost, LOST],
  [EXIT.interrupted, INTERRUPTED],
] as const;

/** Name of a kind of error; stable. */
export type ErrorCode =
  keyof (typeof FAILED & typeof WRONG & typeof ABSENT & typeof FILES & typeof LOST & typeof INTERRUPTED);

/** A row of the table. */
export interface ErrorFacts {
  code: ErrorCode;
  /** What a command ends with that this error ends; never 0. */
  exit: number;
  /** One sentence each, without a full stop. */
  meaning: string;
  remedy: string;
}

/** The table, by code, in the order of exit codes. */
export const ERROR_CODES: ReadonlyMap<ErrorCode, ErrorFacts> = new Map(
  GROUPS.flatMap(([exit, group]) =>
    Object.entries<Entry>(group).map(([name, [meaning, remedy]]) => {
      const code = name as ErrorCode;
      return [code, { code, exit, meaning, remedy }];
    })
  ),
);

/** What a command ends with that this error ends; never 0. */
export function exitCodeOf(code: ErrorCode): number {
  return ERROR_CODES.get(code)?.exit ?? EXIT.failed;
}

/** Whether a text, such as a code that another program sent, is in the table. */
export function isErrorCode(text: string | undefined): text is ErrorCode {
  return text !== undefined && (ERROR_CODES as ReadonlyMap<string, ErrorFacts>).has(text);
}
