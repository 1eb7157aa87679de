/** Asks a worker what only it can tell of a package, before anything is sent. */
import { sizeText } from "../../config/progress.ts";
import { MAX_TEXT_BYTES } from "../../protocol/message.ts";
import { parseJson } from "../../protocol/parse_json.ts";
import {
  PREFLIGHT,
  type PreflightReport,
  type PreflightRequest,
  reportSchema,
  requestsFor,
} from "../../protocol/preflight.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import { SPACE_FACTOR } from "../../storage/space.ts";
import { RefusedError, WorkerLostError } from "../job_error.ts";
import { awaitAnswer, say, type Talk } from "../talk.ts";
import type { Finding } from "./finding.ts";
import type { OuterFile, Questions } from "./questions.ts";

/** A worker's answer is waited for so long, in milliseconds. */
const ANSWER_MS = 10_000;
/** The keyword and the JSON around the list need room in a message, in bytes. */
const ENVELOPE_BYTES = 64;
/** Files that are told of one by one. */
const MAX_TOLD = 10;

const SHARE =
  "put it on storage that the worker sees under this very path, or export the package with its images";

/**
 * What a worker tells of a package's questions. `isSent`: whether the package itself goes over the channel,
 * and lies on the worker beside what it unpacks to. Throws `WorkerLostError`, the abort reason.
 */
export async function askWorker(
  talk: Talk,
  features: readonly string[],
  questions: Questions,
  isSent: boolean,
): Promise<Finding[]> {
  const { files, unpackedBytes, packedBytes } = questions;
  if (!features.includes(PREFLIGHT)) return files.length === 0 ? [] : [cannotBeAsked(files)];
  if (files.length === 0 && unpackedBytes === undefined) return [];
  const requests = requestsFor(files.map(({ path }) => path), MAX_TEXT_BYTES - ENVELOPE_BYTES);
  const reports: PreflightReport[] = [];
  try {
    for (const request of requests) reports.push(await ask(talk, request));
  } catch (error) {
    if (error instanceof ConnectionError) throw new WorkerLostError(false);
    if (!(error instanceof RefusedError)) throw error;
    return [{ level: "warning", file: "worker", text: `it could not be asked: ${error.message}` }];
  }
  const answers = reports.flatMap((report) => report.files);
  const room = unpackedBytes === undefined
    ? []
    : roomFinding(unpackedBytes, isSent ? packedBytes : 0, reports[0]?.free ?? null);
  return [...room, ...summarized(fileFindings(files, answers))];
}

function cannotBeAsked(files: readonly OuterFile[]): Finding {
  const text = `it cannot be asked whether it sees ${filesText(files)}`;
  return { level: "warning", file: "worker", text };
}

function filesText(files: readonly OuterFile[]): string {
  return files.length === 1 ? files[0]!.path : `${files[0]?.path} and ${files.length - 1} more files`;
}

async function ask(talk: Talk, request: PreflightRequest): Promise<PreflightReport> {
  await say(talk, { type: "PREFLIGHT", json: JSON.stringify(request) });
  let report: PreflightReport | undefined;
  await awaitAnswer(talk, "PREFLIGHT", ANSWER_MS, (incoming) => {
    if (incoming.type !== "PREFLIGHT_REPORT") return false;
    report = parseJson(reportSchema, incoming.json);
    return true;
  });
  if (report?.files.length === request.files.length) return report;
  throw new RefusedError("its answer was not understood");
}

function fileFindings(asked: readonly OuterFile[], answers: PreflightReport["files"]): Finding[] {
  return asked.map(({ path, namedIn, line, isHere }, index): Finding => {
    const place = { file: namedIn, ...(line === undefined ? {} : { line }) };
    const answer = answers[index];
    if (answer === true) return { ...place, level: "ok", text: `the worker sees ${path}` };
    const here = isHere ? "; it is there on this machine" : "";
    return answer === false
      ? { ...place, level: "failure", text: `${path} is not there on the worker${here}`, hint: SHARE }
      : {
        ...place,
        level: "warning",
        text: `${path} is on no storage backend of the worker, which cannot say whether it is there${here}`,
        hint: SHARE,
      };
  });
}

/**
 * 120 % of what is unpacked, as before a copy. What is received lies beside it, but the worker may have a part of it
 * from before: too little for that is no failure yet.
 */
function roomFinding(unpacked: number, received: number, free: number | null): Finding[] {
  if (free === null) return [];
  const needed = (unpacked + received) * SPACE_FACTOR;
  const text = `${sizeText(free)} free where it receives and unpacks, ${sizeText(needed)} needed`;
  if (free >= needed) return [{ level: "ok", file: "worker", text }];
  const level = free < unpacked * SPACE_FACTOR ? "failure" : "warning";
  return [{ level, file: "worker", text, hint: "free some of its scratch folder, or use another worker" }];
}

/** A package may name a thousand files that are not there. */
function summarized(findings: readonly Finding[]): Finding[] {
  return (["failure", "warning", "ok"] as const).flatMap((level): Finding[] => {
    const all = findings.filter((each) => each.level === level);
    if (all.length <= MAX_TOLD) return all;
    const rest: Finding = {
      level,
      file: "worker",
      text: `${all.length - MAX_TOLD} further files like these`,
    };
    return [...all.slice(0, MAX_TOLD), rest];
  });
}

/** The same questions where no worker is asked: what this machine sees. */
export function findingsHere({ files }: Questions): Finding[] {
  return summarized(files.map(({ path, namedIn, line, isHere }): Finding => ({
    level: isHere ? "ok" : "warning",
    file: namedIn,
    ...(line === undefined ? {} : { line }),
    text: isHere
      ? `${path} is there on this machine; whether a worker sees it, only that knows`
      : `${path} is not there on this machine`,
    ...(isHere ? {} : { hint: SHARE }),
  })));
}
