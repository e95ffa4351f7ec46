/**
 * What makes a shell ask us. Each calls `PROGRAM __complete -- WORD…` and gets a line a candidate,
 * `word TAB summary`, and a last line `:files` or `:none`. They hold no names of their own, so they
 * need not be written anew when we learn new words.
 */
export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

export function completionScript(shell: Shell, program: string): string {
  return scripts[shell]
    .replaceAll("PROGRAM", program)
    .replaceAll("FUNCTION", `_${program.replaceAll("-", "_")}`);
}

const scripts: Readonly<Record<Shell, string>> = {
  // Readline takes words apart at : and =, and puts back what is before them.
  bash: `# PROGRAM completion bash > ~/.local/share/bash-completion/completions/PROGRAM
FUNCTION() {
  local cur words cword line before directive=:none
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n =: cur words cword
  else
    cur=\${COMP_WORDS[COMP_CWORD]} words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD
  fi
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :files | :none) directive=$line ;;
      *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
    esac
  done < <(PROGRAM __complete -- "\${words[@]:1:cword}" 2>/dev/null)
  if [[ $directive == :files && \${#COMPREPLY[@]} -eq 0 ]]; then
    compopt -o default
    return
  fi
  if [[ $cur == *[=:]* && $COMP_WORDBREAKS == *:* ]]; then
    before=\${cur%"\${cur##*[=:]}"}
    COMPREPLY=("\${COMPREPLY[@]#"$before"}")
  fi
  [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *: ]] && compopt -o nospace
}
complete -F FUNCTION PROGRAM
`,
  zsh: `#compdef PROGRAM
# PROGRAM completion zsh > "\${fpath[1]}/_PROGRAM"
FUNCTION() {
  local -a lines candidates
  local line directive=:none
  lines=("\${(@f)$(PROGRAM __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in $lines; do
    case $line in
      :files|:none) directive=$line ;;
      *) candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
    esac
  done
  (( $#candidates )) && _describe 'PROGRAM' candidates
  [[ $directive == :files ]] && _files
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then FUNCTION "$@"; else compdef FUNCTION PROGRAM; fi
`,
  fish: `# PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish
function FUNCTION
  set -l words (commandline -opc)[2..] (commandline -ct)
  set -l files no
  for line in (PROGRAM __complete -- $words 2>/dev/null)
    switch $line
      case :files
        set files yes
      case :none
      case '*'
        echo $line
    end
  end
  test $files = yes; and __fish_complete_path (commandline -ct)
end
complete -c PROGRAM -f -a '(FUNCTION)'
`,
};
