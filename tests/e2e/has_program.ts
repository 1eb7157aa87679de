/** Whether a program is installed, or is one of the shell's own. */
export async function hasProgram(program: string): Promise<boolean> {
  const command = new Deno.Command("sh", { args: ["-c", 'command -v "$0"', program], stdout: "null" });
  return (await command.output()).success;
}
