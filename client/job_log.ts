import { errorText } from "../config/user_error.ts";
import type { JobEndState, ResultFile } from "../protocol/jobs.ts";
import type { Conversation } from "./conversation.ts";
import type { JobPlaces } from "./bring_home.ts";
import { forgetOldRecords, type JobRecord, joinFiles, writeRecord } from "./job_records.ts";
import type { Target } from "./with_worker.ts";
import type { Attempt } from "./plan.ts";
import type { Screen } from "./screen.ts";

/** How far a job was shown is written down this often, in milliseconds. */
const WRITE_EVERY_MS = 2_000;

/** Keeps the record of a job while this program follows it. */
export class JobLog {
  readonly #request: { packagePath: string; outputDir: string };
  readonly #screen: Screen;
  #record: JobRecord | undefined;
  #conversation: Conversation | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #hasFailed = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(request: { packagePath: string; outputDir: string }, screen: Screen) {
    this.#request = request;
    this.#screen = screen;
  }

  /** The job that was begun last; undefined when none was, or it has ended. */
  get record(): JobRecord | undefined {
    return this.#record?.end === null ? this.#record : undefined;
  }

  /** What the job that was begun last has made, as far as its worker has told. */
  get files(): readonly ResultFile[] {
    return this.#record?.files ?? [];
  }

  /** A job was begun, and can be come back to. */
  async begin(
    id: string,
    { method }: Attempt,
    { resultFolders, jobFolder, remote }: JobPlaces,
    { peerId, room }: Target,
    conversation: Conversation,
  ): Promise<void> {
    this.#conversation = conversation;
    this.#record = {
      id,
      package: this.#request.packagePath,
      submitted: new Date().toISOString(),
      room_id: room.roomId,
      token: room.token,
      worker: peerId,
      method,
      output_dir: this.#request.outputDir,
      result_folders: [...resultFolders],
      job_folder: jobFolder ?? null,
      remote: remote ? { backend: remote.store.name, path: remote.path } : null,
      seen: 0,
      files: [],
      placed: [],
      end: null,
    };
    this.#screen.show({ event: "job", job_id: id });
    await this.#write({});
    // What cannot be removed now is tried again with the next job.
    await forgetOldRecords().catch(() => {});
    this.#timer = setInterval(() => {
      if (this.#record?.seen !== conversation.seen) void this.#write({});
    }, WRITE_EVERY_MS);
  }

  /** The job has made these, among others. */
  made(files: readonly ResultFile[]): void {
    void this.#write({ files: joinFiles(this.files, files) });
  }

  /** They have come home. */
  async place(placed: JobRecord["placed"]): Promise<void> {
    if (placed.length > 0) await this.#write({ placed: [...this.#record?.placed ?? [], ...placed] });
  }

  /** The job has ended. */
  async end(end: JobEndState): Promise<void> {
    await this.#write({ end });
    clearInterval(this.#timer);
  }

  /** The job goes on, or its end is not known. */
  async leave(): Promise<void> {
    clearInterval(this.#timer);
    await this.#write({});
  }

  /** One after the other, so that the last word stays. Never throws: no job fails because it is not written down. */
  #write(change: Partial<JobRecord>): Promise<void> {
    const seen = this.#conversation?.seen ?? 0;
    if (!this.#record || this.#hasFailed) return this.#writing;
    const record = this.#record = { ...this.#record, ...change, seen };
    return this.#writing = this.#writing.then(() => writeRecord(record)).catch((error: unknown) => {
      this.#hasFailed = true;
      const text = `this job cannot be found again with "attach": ${errorText(error)}`;
      this.#screen.show({ event: "warning", text });
    });
  }
}
