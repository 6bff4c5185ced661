"""What shells run to complete our words where there is no `kubectl_complete-datasource`: krew installs one program only.

Each script completes `kubectl-datasource`, and `kubectl` where its next word is `datasource`. For every other word of kubectl
it leaves the completion that was there before.
"""

COMPLETE = "__complete"
"""The word with which all of them ask the plugin. It answers as Cobra does."""

_BASH = r"""# Completion of kubectl datasource for bash. After kubectl's own: source <(kubectl datasource completion bash)
__datasource_candidates() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\t'*}")
    done < <(kubectl-datasource __complete "$@" 2>/dev/null | sed '$d')
}
__datasource_complete() {
    __datasource_candidates "${COMP_WORDS[@]:1:COMP_CWORD}"
}
__datasource_found=$(complete -p kubectl 2>/dev/null | sed -n 's/.* -F \([^ ]*\) .*/\1/p') || :
if [ "$__datasource_found" != __datasource_complete_kubectl ]; then
    __datasource_before=$__datasource_found
fi
__datasource_complete_kubectl() {
    if [ "${COMP_WORDS[1]}" = datasource ] && [ "$COMP_CWORD" -gt 1 ]; then
        __datasource_candidates "${COMP_WORDS[@]:2:COMP_CWORD-1}"
    elif [ -n "${__datasource_before-}" ]; then
        "$__datasource_before" "$@"
    fi
}
complete -F __datasource_complete kubectl-datasource
complete -o default -F __datasource_complete_kubectl kubectl
"""

_ZSH = r"""#compdef kubectl-datasource
# Completion of kubectl datasource for zsh. After kubectl's own: source <(kubectl datasource completion zsh)
__datasource_candidates() {
    local -a lines described
    local line
    lines=("${(@f)$(kubectl-datasource __complete "$@" 2>/dev/null)}")
    for line in "${(@)lines[1,-2]}"; do
        described+=("${${line//:/\\:}/$'\t'/:}")
    done
    _describe 'kubectl datasource' described
}
__datasource_complete() {
    __datasource_candidates "${(@)words[2,CURRENT]}"
}
if [[ "${_comps[kubectl]-}" != __datasource_complete_kubectl ]]; then
    __datasource_before="${_comps[kubectl]-}"
fi
__datasource_complete_kubectl() {
    if [[ "${words[2]}" == datasource ]] && (( CURRENT > 2 )); then
        __datasource_candidates "${(@)words[3,CURRENT]}"
    elif [[ -n "$__datasource_before" ]]; then
        "$__datasource_before" "$@"
    fi
}
compdef __datasource_complete kubectl-datasource
compdef __datasource_complete_kubectl kubectl
"""

_FISH = r"""# Completion of kubectl datasource for fish: kubectl datasource completion fish | source
function __datasource_words
    set -l words (commandline --tokenize --current-process --cut-at-cursor) (commandline --current-token --cut-at-cursor)
    if test "$words[1]" = kubectl
        set --erase words[1]
    end
    printf '%s\n' $words[2..]
end
function __datasource_candidates
    set -l words (__datasource_words)
    kubectl-datasource __complete $words 2>/dev/null | string match --invert --regex '^:[0-9]+$'
end
function __datasource_is_next
    set -l words (commandline --tokenize --current-process --cut-at-cursor)
    test "$words[2]" = datasource
end
complete --command kubectl-datasource --no-files --arguments '(__datasource_candidates)'
complete --command kubectl --condition __datasource_is_next --no-files --arguments '(__datasource_candidates)'
"""

_POWERSHELL = r"""# Completion of kubectl datasource for PowerShell. After kubectl's own:
# kubectl datasource completion powershell | Out-String | Invoke-Expression
$__datasourceCandidates = {
    param($words, $wordToComplete)
    # Windows PowerShell drops empty arguments; two quotes stand for one there.
    $last = if ($wordToComplete -eq '' -and $PSVersionTable.PSVersion -lt [version]'7.3') { '""' } else { $wordToComplete }
    & kubectl-datasource __complete @words $last 2>$null | Where-Object { $_ -notmatch '^:\d+$' } | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        $told = if ($help) { $help } else { $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $told)
    }
}
$__datasourceWords = {
    param($commandAst, $cursorPosition, $skipped)
    $before = $commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition }
    @($before | Select-Object -Skip $skipped | ForEach-Object { $_.Extent.Text })
}
Register-ArgumentCompleter -Native -CommandName kubectl-datasource -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    & $__datasourceCandidates (& $__datasourceWords $commandAst $cursorPosition 1) $wordToComplete
}
Register-ArgumentCompleter -Native -CommandName kubectl -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $second = $commandAst.CommandElements | Select-Object -Skip 1 -First 1
    if ($second.Extent.Text -eq 'datasource' -and $second.Extent.EndOffset -lt $cursorPosition) {
        & $__datasourceCandidates (& $__datasourceWords $commandAst $cursorPosition 2) $wordToComplete
    } elseif ($__kubectlCompleterBlock) {
        & $__kubectlCompleterBlock $wordToComplete $commandAst $cursorPosition
    }
}
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH, "powershell": _POWERSHELL}

SHELLS = tuple(_SCRIPTS)


def script(shell: str) -> str:
    """What one of SHELLS runs."""
    return _SCRIPTS[shell]
