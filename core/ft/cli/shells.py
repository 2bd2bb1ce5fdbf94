"""What bash, zsh and fish are told to offer. Paths are listed here, since a shell finds none behind `local:`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' kind value response
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete $1)
    COMPREPLY=()
    while IFS=',' read -r kind value; do
        [[ -n $kind ]] && COMPREPLY+=("$value")
        [[ $value == *[/:=] ]] && compopt -o nospace 2>/dev/null
    done <<< "$response"
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a response whole begun whole_told begun_told
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
%(complete_var)s=zsh_complete %(prog_name)s)}")
    for kind value about in ${response}; do
        if [[ $about == _ && $value == *[/:=] ]]; then begun+=("$value")
        elif [[ $about == _ ]]; then whole+=("$value")
        elif [[ $value == *[/:=] ]]; then begun_told+=("${value//:/\\\\:}:$about")
        else whole_told+=("${value//:/\\\\:}:$about")
        fi
    done
    [[ -n $begun_told ]] && _describe -V begun begun_told -U -Q -S ''
    [[ -n $whole_told ]] && _describe -V whole whole_told -U -Q
    [[ -n $begun ]] && compadd -U -Q -S '' -V begun -a begun
    [[ -n $whole ]] && compadd -U -Q -V whole -a whole
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


def paths(typed: str, ends: tuple[str, ...] = (), folders_only: bool = False) -> Iterator[str]:
    """The folders, with a / at their end, whose path begins as `typed`, and the files that end in one of `ends`."""
    parent, name = os.path.split(typed)
    try:
        found = sorted(os.scandir(os.path.expanduser(parent) or "."), key=lambda entry: entry.name)
    except OSError:  # while somebody is typing is no time to explain
        return
    for entry in found:
        if not entry.name.startswith(name) or (entry.name.startswith(".") and not name.startswith(".")):
            continue
        path = os.path.join(parent, entry.name)
        if entry.is_dir():
            yield f"{path}/"
        elif not folders_only and path.endswith(ends or ("",)):
            yield path


class _Listing(ShellComplete):
    """Lists paths itself, and puts back what stands before the value in `--flag=value`."""

    keeps_flag = True
    typed = ""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        self.typed = incomplete
        flag, equals, _ = incomplete.partition("=")
        before = f"{flag}=" if self.keeps_flag and equals and flag.startswith("--") else ""
        made = []
        for item in super().get_completions(args, incomplete):
            if item.type in ("file", "dir"):
                made += [
                    CompletionItem(f"{before}{path}") for path in paths(item.value, folders_only=item.type == "dir")
                ]
            else:
                made.append(CompletionItem(f"{before}{item.value}", help=item.help))
        return made


class Bash(_Listing, BashComplete):
    """bash hands over `torchvision:vg` as three words, and replaces only what stands after the colon."""

    source_template = _BASH
    keeps_flag = False

    def get_completion_args(self) -> tuple[list[str], str]:
        words = split_arg_string(os.environ["COMP_WORDS"])
        place = int(os.environ["COMP_CWORD"])
        *before, incomplete = glued([*words[1:place], words[place] if place < len(words) else ""])
        return before, incomplete

    def format_completion(self, item: CompletionItem[str]) -> str:
        typed = self.typed.partition("=")[2] if self.typed.startswith("--") else self.typed
        done = max(typed.rfind(mark) for mark in ":=") + 1
        return f"{item.type},{quoted(item.value[done:])}"


class Zsh(_Listing, ZshComplete):
    """zsh replaces the whole word."""

    source_template = _ZSH

    def format_completion(self, item: CompletionItem[str]) -> str:
        about = " ".join((item.help or "_").split())
        return f"{item.type}\n{quoted(item.value)}\n{about}"


class Fish(_Listing, FishComplete):
    """fish replaces the whole word, and quotes by itself."""


def glued(words: list[str]) -> list[str]:
    """Put together what bash cut at ":" and "="."""
    made = [""]
    for number, word in enumerate(words):
        if number and word not in (":", "=") and words[number - 1] not in (":", "="):
            made.append("")
        made[-1] += word
    return made


def quoted(text: str) -> str:
    r"""Return a word as it is typed in bash or zsh.

    >>> print(quoted("~/my photos [1]/"))
    ~/my\ photos\ \[1\]/
    """
    return re.sub(r"""([\s'"\\$`&;|<>()*?\[\]{}!#^])""", r"\\\1", text)


for each in (Bash, Zsh, Fish):
    add_completion_class(each)
