/** Facts about this machine that the sandboxed engine cannot find out by itself. */
import { delimiter, isAbsolute, join, resolve } from "node:path";

/** Properties of section 5.1 of PROTOCOL.md that describe the machine; without a GPU as the Python worker has them. */
export async function hostProperties(): Promise<Record<string, unknown>> {
  const [gpu] = await queryGpus();
  return {
    gpu_memory_mb: gpu?.memoryMb ?? 0,
    gpu_model: gpu?.model ?? "CPU",
    cuda_version: gpu?.driver ?? "N/A",
    sleap_version: "unknown",
    hostname: Deno.hostname(),
  };
}

/** The GPUs that jobs may use, as `CUDA_VISIBLE_DEVICES` names them; none without `nvidia-smi`. */
export async function listGpus(): Promise<string[]> {
  const visible = Deno.env.get("CUDA_VISIBLE_DEVICES");
  if (visible !== undefined) {
    return visible.split(",").map((each) => each.trim()).filter((each) => each !== "");
  }
  return (await querySmi("index")).map((line) => line.trim());
}

/** What `nvidia-smi` tells of each GPU, a line each; nothing without it. */
async function querySmi(fields: string): Promise<string[]> {
  try {
    const { success, stdout } = await new Deno.Command("nvidia-smi", {
      args: [`--query-gpu=${fields}`, "--format=csv,noheader,nounits"],
      stdin: "null",
      stderr: "null",
      signal: AbortSignal.timeout(10_000),
    }).output();
    return success ? new TextDecoder().decode(stdout).trim().split("\n").filter((line) => line !== "") : [];
  } catch {
    return [];
  }
}

/** A GPU as `nvidia-smi` tells of it; memory in MiB. */
export interface Gpu {
  model: string;
  memoryMb: number;
  freeMb: number;
  driver: string;
}

/** All GPUs that `nvidia-smi` tells of; none without it. */
export async function queryGpus(): Promise<Gpu[]> {
  return (await querySmi("name,memory.total,driver_version,memory.free")).flatMap((line): Gpu[] => {
    const [model = "", memory, driver, free] = line.split(",");
    const [memoryMb, freeMb] = [Number(memory), Number(free)];
    if (model === "" || !Number.isFinite(memoryMb)) return [];
    return [{ model: model.trim(), memoryMb, freeMb, driver: `driver ${driver?.trim() ?? "unknown"}` }];
  });
}

/** Absolute path of a program, looked up on PATH when it has no folder; undefined when it is not there. */
export async function findProgram(program: string, cwd: string): Promise<string | undefined> {
  const candidates = /[\\/]/.test(program)
    ? [isAbsolute(program) ? program : resolve(cwd, program)]
    : (Deno.env.get("PATH") ?? "").split(delimiter).filter((folder) => folder !== "").map((folder) =>
      join(folder, program)
    );
  for (const path of candidates) {
    try {
      const info = await Deno.stat(path);
      if (info.isFile && ((info.mode ?? 0o111) & 0o111) !== 0) return path;
    } catch {
      // Not there: the next folder.
    }
  }
  return undefined;
}
