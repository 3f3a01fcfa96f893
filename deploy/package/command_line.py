#!/usr/bin/env python3
"""Writes the manual page (sluice.1.gz) and the bash completion (sluice.bash) from what `sluice … --help` says.

command_line.py SLUICE DIRECTORY"""
import gzip
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass, field


@dataclass
class Entry:
    """A line of help: an option, a positional or a subcommand."""
    names: list[str]
    value: str = ""  # "FILE"; "" for a flag
    choices: list[str] = field(default_factory=list)
    default: str = ""
    text: str = ""


@dataclass
class Command:
    path: list[str]  # [] for sluice itself
    text: str
    usage: str
    sections: dict[str, list[Entry]]
    commands: list["Command"]

    @property
    def options(self):
        return self.sections.get("Options", [])


def read_entry(left):
    """`-o,--output FORMAT:{table,json}`, `--limit N:INT in [1 - 10000]=20`, `pipeline PIPELINE REQUIRED`"""
    names, _, rest = left.partition(" ")
    rest = rest.replace(" REQUIRED", "").replace(" ...", "")
    choices = re.search(r"\{(.*)\}", rest)
    default = re.search(r"\]=(\S+)$", rest)
    return Entry(names.split(","), rest.partition(":")[0], choices.group(1).split(",") if choices else [],
                 default.group(1) if default else "")


def read_command(program, path):
    help_text = subprocess.run([program, *path, "--help"], check=True, capture_output=True, text=True).stdout
    lines = help_text.splitlines()
    usage = next(line for line in lines if line.startswith("Usage: ")).removeprefix("Usage: ")
    sections, section = {}, None
    for line in lines[lines.index("Usage: " + usage) + 1:]:
        if re.fullmatch(r"\w+:", line):
            section = sections.setdefault(line[:-1], [])
        elif entry := re.fullmatch(r"  (\S.*?)(?:\s{2,}(.*))?", line):
            section.append(read_entry(entry[1]))
            section[-1].text = entry[2] or ""
        elif line.strip():
            section[-1].text = (section[-1].text + " " + line.strip()).strip()
    commands = [read_command(program, [*path, entry.names[0]]) for entry in sections.get("Subcommands", [])]
    return Command(path, lines[0], usage, sections, commands)


def all_commands(command):
    return [command] + [inner for each in command.commands for inner in all_commands(each)]


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def roff_entries(entries):
    for entry in entries:
        shown = ", ".join(entry.names) + (" " + entry.value if entry.value and entry.names != [entry.value] else "")
        text = entry.text + (f"; default {entry.default}" if entry.default else "")
        yield f".TP\n.B {roff(shown)}\n{roff(text)}"


MANUAL_END = r""".SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
a run failed, or a daemon asks for a token, does not know it, or wants one of a higher role
.TP
.B 2
the command line is wrong
.TP
.B 75
not possible now; try again
.TP
.B 78
the configuration is wrong
.TP
.B 130, 143
stopped by SIGINT or SIGTERM
.SH SIGNALS
.B sluice serve
reads its configuration anew on SIGHUP; a faulty one changes nothing.
On SIGTERM or SIGINT it starts nothing more, lets running slices end and exits with 0; a second one stops it at once.
.SH FILES
.TP
.I /etc/sluice/sluice.yaml
the configuration, where there is no
.I sluice.yaml
in the current directory
.TP
.I /etc/sluice/credentials/NAME
a secret, for the service alone: {credential: sluice_NAME} in the configuration
.TP
.I /var/lib/sluice
the service's state
.TP
.I /usr/share/doc/sluice
every key of the configuration, and examples
.SH ENVIRONMENT
.TP
.B SLUICE_TOKEN
the token for the daemon that \-\-server names
.TP
.B SSL_CERT_FILE
certificates of authorities to trust besides the system's
.TP
.B NO_COLOR
where set, nothing is coloured"""


def manual(top):
    parts = ['.TH SLUICE 1 "" sluice "User Commands"',
             f".SH NAME\nsluice \\- {roff(top.text.removeprefix('sluice ').rstrip('.'))}",
             ".SH SYNOPSIS\n.B sluice\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR ...",
             ".SH OPTIONS\nThese go with every command.", *roff_entries(top.options), ".SH COMMANDS"]
    for command in all_commands(top)[1:]:
        if command.commands:  # its own commands say it all
            continue
        parts += [f".SS {roff(command.usage)}", roff(command.text) + "."]
        parts += roff_entries(command.sections.get("Positionals", []))
        parts += roff_entries(entry for entry in command.options if "--help" not in entry.names)
    return "\n".join([*parts, MANUAL_END, ""])


def completion(top):
    commands = all_commands(top)
    values = {}  # the options that take a value, by what makes its candidates in bash; nothing where nobody can guess
    for entry in (entry for command in commands for entry in command.options if entry.value):
        words = f'-W "{" ".join(entry.choices)}"' if entry.choices else "-f" if entry.value in ("FILE", "DIR") else ""
        values.setdefault(words and f'mapfile -t COMPREPLY < <(compgen {words} -- "$cur"); ', {}).update(
            dict.fromkeys(entry.names))
    lines = ["# bash completion for sluice; made from its --help", "_sluice() {",
             '  local cur=${COMP_WORDS[COMP_CWORD]} command="" words="" i',
             '  case ${COMP_WORDS[COMP_CWORD - 1]} in',
             *(f'    {"|".join(names)}) {fill}return ;;' for fill, names in values.items()),
             "  esac", "  for ((i = 1; i < COMP_CWORD; i++)); do", '    case "$command ${COMP_WORDS[i]}" in',
             '      ' + "|".join(f'"{" ".join(c.path[:-1])} {c.path[-1]}"' for c in commands[1:]) +
             ') command="${command:+$command }${COMP_WORDS[i]}" ;;', "    esac", "  done", "  case $command in"]
    common = [name for entry in top.options for name in entry.names if name not in ("-V", "--version")]
    for command in commands:
        words = [each.path[-1] for each in command.commands]
        words += [name for entry in command.options for name in entry.names]
        lines.append(f'    "{" ".join(command.path)}") words="{" ".join(dict.fromkeys(words + common))}" ;;')
    lines += ["  esac", '  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")', "}",
              "complete -o default -F _sluice sluice", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sluice = read_command(sys.argv[1], [])
    folder = pathlib.Path(sys.argv[2])
    (folder / "sluice.1.gz").write_bytes(gzip.compress(manual(sluice).encode(), mtime=0))
    (folder / "sluice.bash").write_text(completion(sluice))
