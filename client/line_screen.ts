import { ProgressLines } from "../config/progress.ts";
import type { ClientEvent, Screen } from "./event.ts";
import { lineOf } from "./event_text.ts";

/** Plain lines: the job's output and the end on stdout, everything else on stderr. */
export class LineScreen implements Screen {
  readonly #lines = new ProgressLines();

  show(event: ClientEvent): void {
    if (event.event === "progress") {
      const line = this.#lines.line(event.what, event.done, event.total);
      if (line !== undefined) console.error(line);
      return;
    }
    const line = lineOf(event);
    if (line === undefined) return;
    if (event.event === "log" || event.event === "summary") console.log(line);
    else console.error(line);
  }

  ask(question: string | undefined): void {
    if (question !== undefined) console.error(question);
  }

  close(): void {}
}
