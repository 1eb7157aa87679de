/** `completions bash|zsh|fish`: a script that asks the program itself what may come next. */
import { Argument, type Command } from "commander";
import { complete, type KnownValues } from "./complete.ts";

/** The hidden command that a script calls with the words so far. */
const COMPLETE = "__complete";
/** Stands for paths among the answers. */
const FILES = ":files";
const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = typeof SHELLS[number];

/** What makes each shell read the script, and the file in which each new shell finds that. */
const START_UP: Readonly<Record<Shell, { line: (name: string) => string; file: string }>> = {
  bash: { line: (name) => `eval "$(${name} completions bash)"`, file: "~/.bashrc" },
  zsh: { line: (name) => `eval "$(${name} completions zsh)"`, file: "~/.zshrc, behind compinit" },
  fish: { line: (name) => `${name} completions fish | source`, file: "~/.config/fish/config.fish" },
};

interface Flags {
  json?: boolean;
  verbose?: boolean;
}

/** Adds `completions`, and what its scripts call. `known` is asked when a script is. */
export function addCompletions(program: Command, known: KnownValues = {}): void {
  const name = program.name();
  program.command("completions")
    .description("Print a script that completes this program's command lines.")
    .addArgument(new Argument("<shell>", "the shell that is to read it").choices(SHELLS))
    .option("--json", "one JSON object on stdout, with the script as a text of it")
    .option("--verbose", "say on stderr which line belongs into which file")
    .option("--quiet", "the script alone, as without it")
    .addHelpText("after", examples(name))
    .action((shell: Shell, _: Flags, command: Command) =>
      // A program that has these flags itself takes them, wherever they stand.
      print(shell, name, command.optsWithGlobals<Flags>())
    );
  program.command(COMPLETE, { hidden: true }).argument("[words...]").helpOption(false)
    .action(async (words: string[]) => {
      const { candidates, files } = await complete(program, words, known);
      for (const { word, about } of candidates) console.log(`${word}\t${about.replaceAll(/\s+/g, " ")}`);
      if (files) console.log(FILES);
    });
}

function print(shell: Shell, name: string, { json, verbose }: Flags): void {
  const { line, file } = START_UP[shell];
  if (verbose) console.error(`this line belongs in ${file}:\n  ${line(name)}`);
  const script = scriptOf(shell, name);
  console.log(json ? JSON.stringify({ event: "completions", shell, script }) : script);
}

function examples(name: string): string {
  const lines = SHELLS.map((shell) => {
    const { line, file } = START_UP[shell];
    return `    ${line(name).padEnd(48)}in ${file}`;
  });
  return `\nExamples:\n  Now, and in each new shell:\n${lines.join("\n")}`;
}

/** The script for a shell and a program. */
export function scriptOf(shell: Shell, program: string): string {
  const call = `_${program.replaceAll("-", "_")}`;
  const scripts = { bash: bash(program, call), zsh: zsh(program, call), fish: fish(program, call) };
  return scripts[shell];
}

function bash(program: string, call: string): string {
  return `${call}() {
  local line files=
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == ${FILES} ]]; then files=1; else COMPREPLY+=("\${line%%$'\\t'*}"); fi
  done < <("$1" ${COMPLETE} -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  [[ -n $files ]] || compopt +o default
}
complete -o default -F ${call} ${program}`;
}

function zsh(program: string, call: string): string {
  return `${call}() {
  local line files
  local -a found
  for line in "\${(@f)$("$words[1]" ${COMPLETE} -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == ${FILES} ]]; then files=1
    elif [[ -n $line ]]; then found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
    fi
  done
  (( \${#found} )) && _describe -V '${program}' found
  [[ -n $files ]] && _files
  return 0
}
compdef ${call} ${program}`;
}

function fish(program: string, call: string): string {
  return `function ${call}
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  for line in ($words[1] ${COMPLETE} -- $words[2..-1] "$current" 2>/dev/null)
    if test "$line" = ${FILES}
      __fish_complete_path "$current"
    else
      printf '%s\\n' $line
    end
  end
end
complete -c ${program} -f -a '(${call})'`;
}
