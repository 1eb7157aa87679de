import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from "@zip-js/zip-js";
import { checkContents } from "../../../client/preflight/check.ts";
import type { Finding } from "../../../client/preflight/finding.ts";
import { withTempDir } from "../../examples/trainer_run.ts";
import { lie, zip } from "../../storage/zips.ts";
import { makeLabels } from "./make_labels.ts";

const NEVER = new AbortController().signal;
const CONFIG = (labels: unknown, head = "anchor_part: null"): string =>
  `data_config:\n  train_labels_path: ${
    JSON.stringify(labels)
  }\nmodel_config:\n  head_configs:\n    centroid:\n` +
  `      confmaps:\n        ${head}\ntrainer_config: {}\n`;
const TRAIN = "sleap-nn train --config-name a.yaml\n";
const LABELS = await makeLabels({ nodes: ["head", "tail"] });
const GOOD = { "train-script.sh": TRAIN, "a.yaml": CONFIG(["labels.slp"]), "labels.slp": LABELS };

type Files = Record<string, string | Uint8Array<ArrayBuffer>>;

function bytesOf(content: Files[string]): Uint8Array<ArrayBuffer> {
  return typeof content === "string" ? new TextEncoder().encode(content) : content;
}

/** The same findings are expected of a folder and of ZIPs, stored and deflated, flat and with a top folder. */
async function findingsOf(files: Files, form: string): Promise<Finding[]> {
  let findings: Finding[] = [];
  await withTempDir(async (made) => {
    const dir = await Deno.realPath(made);
    const prefix = form === "folder" || form === "flat" ? "" : "pkg/";
    const path = join(dir, form === "folder" ? "pkg" : "pkg.zip");
    if (form === "folder") {
      for (const [name, content] of Object.entries(files)) {
        await Deno.mkdir(dirname(join(path, name)), { recursive: true });
        await Deno.writeFile(join(path, name), bytesOf(content));
      }
    } else {
      const writer = new ZipWriter(new Uint8ArrayWriter(), {
        useWebWorkers: false,
        level: form === "deflated" ? 6 : 0,
      });
      for (const [name, content] of Object.entries(files)) {
        await writer.add(prefix + name, new Uint8ArrayReader(bytesOf(content)));
      }
      await Deno.writeFile(path, await writer.close());
    }
    const found = await checkContents({ path, isFolder: form === "folder", kind: undefined }, NEVER);
    findings = found.findings.map((each) => ({ ...each, file: each.file.replace(/^pkg\//, "") }));
  });
  return findings;
}

function bad(findings: readonly Finding[]): string[] {
  return findings.filter(({ level }) => level !== "ok")
    .map(({ level, file, line, text }) => `${level} ${file}${line === undefined ? "" : `:${line}`} ${text}`);
}

for (const form of ["folder", "stored", "deflated", "flat"]) {
  Deno.test(`check, ${form}: a good package has nothing but good findings`, async () => {
    const findings = await findingsOf(GOOD, form);
    assert.deepEqual(bad(findings), []);
    assert.ok(findings.some(({ file, text }) => file === "train-script.sh" && text === "1 run: a"));
    assert.ok(
      findings.some(({ file, text }) => file === "labels.slp" && /^1 labelled frame, 1 video, /.test(text)),
      JSON.stringify(findings),
    );
  });

  Deno.test(`check, ${form}: what is missing or damaged is told with its place`, async () => {
    const script = "#!/bin/sh\nmodule load cuda\nsleap-nn train --config-name a.yaml\n" +
      "sleap-nn train --config-name none.yaml\n";
    const files = { ...GOOD, "train-script.sh": script, "labels.slp": LABELS.slice(0, 900) };
    const findings = await findingsOf({ ...files, "jobs.yaml": "a: [1\n" }, form);
    const found = bad(findings).toSorted();
    assert.equal(found.length, 4, found.join("\n"));
    assert.match(found[0]!, /^failure labels\.slp it is damaged, or no HDF5: truncated file/);
    assert.match(found[1]!, /^failure train-script\.sh:4 the configuration none\.yaml is not in the package/);
    assert.match(found[2]!, /^warning jobs\.yaml:\d it is not YAML/);
    assert.match(found[3]!, /^warning train-script\.sh:2 no worker runs this line .*: module load cuda$/);
  });
}

const CASES: readonly [name: string, files: Files, expected: readonly RegExp[]][] = [
  ["no script", { "notes.txt": "x" }, [/^failure pkg No train-script\.sh or track-script\.sh found/]],
  [
    "a script that runs nothing",
    { ...GOOD, "train-script.sh": "# nothing\n" },
    [/^failure train-script\.sh nothing to run: expected a line `sleap-nn train --config-name NAME`/],
  ],
  [
    "a configuration outside of the package",
    { ...GOOD, "train-script.sh": "\nsleap-nn train --config-name ../a.yaml\n" },
    [/^failure pkg line 2 of the script: "\.\.\/a\.yaml" leads out/],
  ],
  ["a name without extension", { ...GOOD, "train-script.sh": "sleap-nn train --config-name a\n" }, []],
  ["broken YAML", { ...GOOD, "a.yaml": "a:\n  - [\n" }, [/^failure a\.yaml:\d it is not YAML/]],
  [
    "another YAML",
    { ...GOOD, "a.yaml": "a: 1\n" },
    [/^failure a\.yaml it is no training configuration of sleap-nn: data_config/],
  ],
  ["JSON", {
    ...GOOD,
    "a.yaml": JSON.stringify({ data_config: { train_labels_path: "labels.slp" }, model_config: {} }),
  }, []],
  [
    "SLEAP's own configuration",
    { ...GOOD, "a.yaml": JSON.stringify({ data: { labels: { training_labels: "no.slp" } } }) },
    [/^failure a\.yaml:1 the labels no\.slp is not in the package/],
  ],
  ["no labels", { ...GOOD, "a.yaml": CONFIG(null) }, [/^failure a\.yaml it names no labels/]],
  [
    "labels that are not there",
    { ...GOOD, "a.yaml": CONFIG(["labels.slp", "b.slp"]) },
    [/^failure a\.yaml:2 the labels b\.slp is not in the package: expected it at b\.slp/],
  ],
  [
    "labels outside of the package",
    { ...GOOD, "a.yaml": CONFIG("../labels.slp") },
    [/^failure a\.yaml:2 the labels \.\.\/labels\.slp leads out of the package/],
  ],
  ["labels that are a folder", { ...GOOD, "a.yaml": CONFIG("x.slp"), "x.slp/y": "" }, [
    /^failure x\.slp expected a labels file, found a folder/,
  ]],
  ["a node that the skeleton has not", { ...GOOD, "a.yaml": CONFIG("labels.slp", "anchor_part: thorax") }, [
    /^warning a\.yaml:7 the skeleton in labels\.slp has no node "thorax": it has head, tail/,
  ]],
  ["a node that it has", { ...GOOD, "a.yaml": CONFIG("labels.slp", "part_names: [tail, head]") }, []],
  ["no labelled frame", { ...GOOD, "labels.slp": await makeLabels({ userFrames: 0 }) }, [
    /^failure labels\.slp there is no labelled frame/,
  ]],
  ["predictions only", { ...GOOD, "labels.slp": await makeLabels({ userFrames: 0, predictedFrames: 2 }) }, [
    /^warning labels\.slp no frame was labelled by a person/,
  ]],
  ["images that are not inside", { ...GOOD, "labels.slp": await makeLabels({ videos: [0] }) }, [
    /^failure labels\.slp the images of video 0 are said to be inside/,
  ]],
  [
    "a video that does not travel",
    {
      ...GOOD,
      "labels.slp": await makeLabels({ videos: [{ filename: "a.mp4" }, { filename: "b.mp4" }] }),
      "a.mp4": "",
    },
    [/^failure labels\.slp its video b\.mp4 is not in the package/],
  ],
  ["scripts of both kinds for a job that is to be tracked", {
    ...GOOD,
    "track-script.sh": "sleap-nn track --data_path labels.slp --model_paths models/m\n",
    "models/m/training_config.yaml": "",
  }, []],
  ["inference without its files", {
    "track-script.sh": "sleap-nn track \\\n -i v.mp4 \\\n -m models/m\nsleap-nn track -o x.slp",
  }, [
    /^failure track-script\.sh:1 the data v\.mp4 is not in the package/,
    /^failure track-script\.sh:1 the model models\/m is not in the package/,
    /^warning track-script\.sh:4 it names no data/,
  ]],
  ["a folder that is no model", {
    "track-script.sh": "sleap-nn track --data_path=v.mp4 --model_paths=m\n",
    "v.mp4": "x",
    "m/x": "",
  }, [/^warning m it is no model/]],
];

for (const [name, files, expected] of CASES) {
  Deno.test(`check: ${name}`, async () => {
    const found = bad(await findingsOf(files, "folder"));
    assert.equal(found.length, expected.length, found.join("\n"));
    for (const [index, pattern] of expected.entries()) assert.match(found[index]!, pattern);
  });
}

Deno.test("check: a train package with a track script as well is warned of", () =>
  withTempDir(async (made) => {
    const dir = await Deno.realPath(made);
    for (const [name, content] of Object.entries({ ...GOOD, "track-script.sh": "sleap-nn track x\n" })) {
      await Deno.writeFile(join(dir, name), bytesOf(content));
    }
    const { findings } = await checkContents({ path: dir, isFolder: true, kind: "train" }, NEVER);
    assert.match(bad(findings).join("\n"), /^warning track-script\.sh there is a train-script\.sh as well/);
  }));

Deno.test("check: what is named by an absolute path is asked for, once, with the view from here", () =>
  withTempDir(async (made) => {
    const dir = await Deno.realPath(made);
    const [here, gone] = [join(dir, "here.mp4"), join(dir, "gone.mp4")];
    await Deno.writeTextFile(here, "");
    await Deno.mkdir(join(dir, "pkg"));
    const labels = await makeLabels({ videos: [{ filename: here }, { filename: gone }, { filename: here }] });
    const files: Files = { ...GOOD, "labels.slp": labels, "a.yaml": CONFIG(["labels.slp", "/no/such.slp"]) };
    for (const [name, content] of Object.entries(files)) {
      await Deno.writeFile(join(dir, "pkg", name), bytesOf(content));
    }
    const given = { path: join(dir, "pkg"), isFolder: true, kind: "train" as const };
    const { findings, questions } = await checkContents(given, NEVER);
    assert.deepEqual(bad(findings), []);
    assert.deepEqual(questions.files, [
      { path: "/no/such.slp", namedIn: "a.yaml", line: 2, isHere: false },
      { path: here, namedIn: "labels.slp", isHere: true },
      { path: gone, namedIn: "labels.slp", isHere: false },
    ]);
  }));

Deno.test("check: hostile archives are failures, and named", async () => {
  const good = await zip([["pkg/train-script.sh", TRAIN]]);
  const cases: [bytes: Uint8Array, expected: RegExp][] = [
    [good.slice(0, good.length - 30), /./],
    [lie(good, "flags", 1), /"pkg\/train-script\.sh" is encrypted/],
    [lie(good, "crc", 5), /fails its checksum/],
    [lie(good, "size", 2 ** 30), /has \d+ bytes; that is no script/],
    [await zip([["../x", "y"]]), /the ZIP cannot be unpacked: Unsafe filename/],
    [await zip([["pkg/a", "y"], ["pkg/A", "z"]]), /are one name/],
  ];
  for (const [bytes, expected] of cases) {
    await withTempDir(async (dir) => {
      const path = join(await Deno.realPath(dir), "pkg.zip");
      await Deno.writeFile(path, bytes);
      const { findings } = await checkContents({ path, isFolder: false, kind: "train" }, NEVER);
      const [failure] = findings.filter(({ level }) => level === "failure");
      assert.equal(failure?.file, "pkg.zip", JSON.stringify(findings));
      assert.match(failure?.text ?? "", expected);
    });
  }
});
