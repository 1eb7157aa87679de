/** `completions bash|zsh|fish`: a script that asks the program itself what may come next. */
import { Argument, type Command } from "commander";
import { complete, type KnownValues } from "./complete.ts";

/** The hidden command that a script calls with the words so far. */
const COMPLETE = "__complete";
/** Stands for paths among the answers. */
const FILES = ":files";
const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = typeof SHELLS[number];

/** Adds `completions`, and what its scripts call. `known` is asked when a script is. */
export function addCompletions(program: Command, known: KnownValues = {}): void {
  const name = program.name();
  program.command("completions")
    .description("Print a script that completes this program's command lines.")
    .addArgument(new Argument("<shell>", "the shell that is to read it").choices(SHELLS))
    .addHelpText("after", examples(name))
    .action((shell: Shell) => console.log(scriptOf(shell, name)));
  program.command(COMPLETE, { hidden: true }).argument("[words...]").helpOption(false)
    .action(async (words: string[]) => {
      const { candidates, files } = await complete(program, words, known);
      for (const { word, about } of candidates) console.log(`${word}\t${about.replaceAll(/\s+/g, " ")}`);
      if (files) console.log(FILES);
    });
}

function examples(name: string): string {
  return `
Examples:
  Now, and in each new shell:
    eval "$(${name} completions bash)"        in ~/.bashrc
    eval "$(${name} completions zsh)"         in ~/.zshrc, behind compinit
    ${name} completions fish | source         in ~/.config/fish/config.fish`;
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
