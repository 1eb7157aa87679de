/** A Python with ZeroMQ, as the trainers have it. */

/** The first that there is; undefined when there is none. */
export async function pythonWithZmq(): Promise<string | undefined> {
  for (const python of ["python3", "/usr/bin/python3"]) {
    const command = new Deno.Command(python, { args: ["-c", "import zmq"], stderr: "null" });
    if (await command.output().then(({ success }) => success, () => false)) return python;
  }
  return undefined;
}
