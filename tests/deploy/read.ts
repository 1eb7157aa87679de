/** Reads the files of `deploy/`. */
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { z } from "zod";

/** Text of a file in `deploy/`. */
export function readDeploy(name: string): Promise<string> {
  return Deno.readTextFile(fileURLToPath(new URL(`../../deploy/${name}`, import.meta.url)));
}

/** What the tests look at; the rest stays as it is for the real schemas. */
const named = z.looseObject({ metadata: z.looseObject({ name: z.string() }) });
const objects = z.tuple([
  named.extend({ kind: z.literal("ConfigMap"), data: z.record(z.string(), z.string()) }),
  named.extend({ kind: z.literal("PersistentVolumeClaim") }),
  named.extend({
    kind: z.literal("Job"),
    spec: z.looseObject({
      template: z.looseObject({
        spec: z.looseObject({
          containers: z.tuple([
            z.looseObject({
              name: z.string(),
              args: z.array(z.string()),
              volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string() })),
            }),
          ]),
          volumes: z.array(z.looseObject({
            name: z.string(),
            configMap: z.looseObject({ name: z.string() }).optional(),
            persistentVolumeClaim: z.looseObject({ claimName: z.string() }).optional(),
          })),
        }),
      }),
    }),
  }),
]);

type Objects = z.infer<typeof objects>;

/** The objects of `kubernetes.yaml`. Throws zod's error when they are others. */
export async function kubernetesObjects(): Promise<
  { config: Objects[0]; claim: Objects[1]; job: Objects[2] }
> {
  const documents = parseAllDocuments(await readDeploy("kubernetes.yaml"));
  const [config, claim, job] = objects.parse(documents.map((document) => document.toJS()));
  return { config, claim, job };
}

/** One stage of the container file. */
export class Stage {
  readonly name: string | undefined;
  readonly #lines: readonly { instruction: string; rest: string }[];

  constructor(name: string | undefined, lines: readonly { instruction: string; rest: string }[]) {
    this.name = name;
    this.#lines = lines;
  }

  /** Whether an instruction has this text. */
  has(instruction: string, text: string): boolean {
    return this.#lines.some((line) => line.instruction === instruction && line.rest.includes(text));
  }

  /** What the last such instruction says, which is the one that counts. */
  last(instruction: string): string | undefined {
    return this.#lines.findLast((line) => line.instruction === instruction)?.rest;
  }
}

/** The stages of `Containerfile`. */
export async function containerStages(): Promise<Stage[]> {
  const text = (await readDeploy("Containerfile")).replace(/^#.*\n/gm, "").replaceAll(/\\\n\s*/g, "");
  return text.split(/^(?=FROM )/m).filter((stage) => stage.startsWith("FROM ")).map((stage) => {
    const lines = stage.trim().split("\n").map((line) => {
      const [, instruction = "", rest = ""] = /^(\S+)\s+(.*)$/.exec(line) ?? [];
      return { instruction, rest };
    });
    return new Stage(/ AS (\S+)$/.exec(lines[0]?.rest ?? "")?.[1], lines);
  });
}

/** Arguments of `ExecStart` in the systemd unit, the program left out. */
export async function unitArguments(): Promise<string[]> {
  const [, line = ""] = /^ExecStart=\S+ (.*)$/m.exec(await readDeploy("sleap-rtc-worker.service")) ?? [];
  return line.split(" ");
}
