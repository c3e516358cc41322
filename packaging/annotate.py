#!/usr/bin/env python3
"""Makes the annotated configuration files and their JSON Schemas from docs/configuration.md, whose tables and examples
the tests keep true.

    annotate.py            writes packaging/{batond,baton-agent}.{yaml,schema.json} anew
"""

import json
import os
import re
import textwrap
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(HERE, "..", "docs", "configuration.md")

#: A row of a table: `ports.client`, its type, default, range and meaning as the page has them.
Key = namedtuple("Key", "path type default range meaning")

UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000, "days": 86_400_000_000}
TEXT = {"type": ["string", "integer", "number", "boolean"]}
DURATION = {"anyOf": [{"type": "string", "pattern": r"^[0-9][0-9_]*(\.[0-9]{1,9})? *(us|µs|ms|s|min|h)$"}, {"const": 0}]}
AMOUNT = r"^[0-9][0-9_]*(\.[0-9]{1,9})? *"
KEY_FILE = {"anyOf": [{"type": "string"}, {
    "type": "object", "required": ["file"], "additionalProperties": False,
    "properties": {"file": {"type": "string"}, "not-before": {}, "not-after": {}}}]}
#: Types in the page's words; what is not here is text.
TYPES = {
    "boolean": {"type": ["boolean", "string"], "enum": [True, False, "true", "false", "yes", "no", "on", "off"]},
    "name": {"type": ["string", "integer", "number", "boolean"], "pattern": "^[A-Za-z0-9._-]{1,63}$"},
    "duration": DURATION,
    "bytes": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": AMOUNT + "(B|KiB|MiB|GiB|kB|MB|GB)$"}]},
    "bit rate": {"anyOf": [{"const": 0}, {"type": "string", "pattern": AMOUNT + "(kbit|Mbit|Gbit)$"}]},
    "address and port": {"type": "string", "pattern": "^.+:[0-9]+$"},
    "Ethernet address": {"type": "string", "pattern": "^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$"},
    "ports and ranges": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535},
                                   {"type": "string", "pattern": "^[0-9]{1,5}(-[0-9]{1,5})?$"}]},
    "integers": {"type": "integer"},
    "mapping of key number to file": {
        "type": "object", "additionalProperties": False,
        "patternProperties": {"^(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])$": KEY_FILE, "^x-": {}}},
}


def programs():
    """Each program's name, its keys, and its example with every key."""
    with open(PAGE, encoding="utf-8") as page:
        director, agent = page.read().split("\n# baton-agent\n")
    for name, part, example in (("batond", director, -1), ("baton-agent", agent, 0)):
        rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in part.splitlines()
                if line.startswith("| `")]
        # The first table has no ranges: they are its types.
        keys = [Key(row[0].strip("`"), row[1], row[2], row[3] if len(row) > 4 else "", row[-1]) for row in rows]
        yield name, keys, re.findall(r"```yaml\n(.*?)\n```", part, re.DOTALL)[example]


# MARK: schema

def schema(name, keys):
    root = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"Configuration of {name}"} | section()
    algorithms = next((choices(key.type) for key in keys if key.path == "crtp.algorithm"), [])
    lists = {"proxies", "classifiers", "virtual-servers", "origins", "rules", "routes", "catalogue"}
    for key in keys:
        *sections, last = key.path.split(".")
        place = root
        for step in sections:
            if step in lists:
                place = place["properties"].setdefault(step, {"type": ["array", "null"], "items": section()})["items"]
            else:
                place = place["properties"].setdefault(step, section())
        place["properties"][last] = described(key, algorithms)
        if key.default == "**required**":
            place.setdefault("required", []).append(last)
        elif is_required_inside(key):
            place.setdefault("required", []).append(last)
            place["optional"] = True
    if "catalogue" in root["properties"]:
        root["properties"]["catalogue"]["items"]["oneOf"] = [{"required": [one]} for one in ("root", "cache", "relay", "replay", "udp-server")]
    settle(root)
    if "host" in root["properties"]:
        root["required"].remove("ports")
        root["oneOf"] = [{"required": ["ports"]}, {"required": ["host"]}]
    return root


def is_required_inside(key):
    """`crtp.multicast.group` is required where `multicast` stands."""
    return key.default == f"**required** with `{key.path.split('.')[-2]}`" if "." in key.path else False


def settle(part):
    """A section without a required key may stand empty; one with such a key is required itself."""
    for step, value in part["properties"].items():
        if "properties" not in value:
            continue
        settle(value)
        if value.pop("optional", False):
            continue
        if value.get("required"):
            part.setdefault("required", []).append(step)
        else:
            value["type"] = ["object", "null"]


def section():
    return {"type": "object", "additionalProperties": False, "patternProperties": {"^x-": {}}, "properties": {}}


def described(key, algorithms):
    about = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", key.meaning).replace("`", "")
    extra = [f"Default: {key.default}." if key.default and key.default != "**required**" else "",
             f"Range: {key.range}." if key.range else ""]
    text = " ".join(part for part in (about, *extra) if part).replace("`", "").replace("**", "")
    return {"description": text} | value_schema(key, algorithms)


def choices(words):
    return re.findall(r"`([^`]*)`", words)


def value_schema(key, algorithms):
    kind, bounds = key.type, key.range
    if kind.startswith("list of "):
        inner = kind.removeprefix("list of ")
        item = {"enum": choices(inner)} if re.match("`(http-get|http/1.1|window-scale)`", inner) else TYPES.get(inner, TEXT)
        if inner == "integers":
            item = numbers("integer", bounds)
        return {"type": "array", "items": item} | ({"minItems": 1} if key.default != "none" and inner != "integers" and bounds != "none or more" else {})
    if kind == "as `crtp.algorithm`":
        return {"enum": algorithms}
    if "`canary N%`" in kind:
        # An editor may take the words on and off for YAML 1.1's booleans.
        return {"anyOf": [{"enum": ["off", "observe", "on", True, False]},
                          {"type": "string", "pattern": "^canary +(100|[0-9]{1,2})%$"}]}
    if kind.startswith("`") and not re.search(r"[A-Z]", kind):
        return {"enum": choices(kind)}
    if kind == "1 to 1,000,000":
        return numbers("integer", "1–1000000")
    if kind in ("integer", "number"):
        return numbers(kind, bounds)
    return dict(TYPES.get(kind, TEXT))


def numbers(kind, bounds):
    """`1–16`, or `0, 536–9216`; anything else is for the program to judge."""
    pieces = []
    for piece in bounds.split(", "):
        limits = re.fullmatch(r"([0-9]+)(?:–([0-9]+))?", piece)
        if limits:
            pieces.append({"type": kind, "minimum": int(limits[1]), "maximum": int(limits[2] or limits[1])})
    if not pieces:
        return {"type": kind}
    return pieces[0] if len(pieces) == 1 else {"anyOf": pieces}


# MARK: annotated file

def annotated(name, keys, example):
    """The example with each key's meaning above it. What has a default stands as a comment, `#key: value`."""
    table = {key.path: key for key in keys}
    lines = [
        f"## Configuration of {name}: every key, its default and its meaning. Lines that begin with ## are prose, those",
        "## that begin with # are keys at their defaults, or examples of what has none: take the # away to change them.",
        f"## yaml-language-server: $schema={name}.schema.json", ""]
    path, told, in_list = [], set(), {}
    for line in example.splitlines():
        # Instead of what stands before it: the two do not go together.
        is_alternative, line = line.startswith("# "), line.removeprefix("# ")
        stripped = line.strip()
        if not stripped:
            lines.append("")
            continue
        indent = len(line) - len(line.lstrip())
        text = stripped.removeprefix("- ")
        depth = indent + (2 if stripped.startswith("- ") else 0)
        key = text.split(":")[0]
        path = [(level, word) for level, word in path if level < depth]
        inside_keys = [word for _, word in path] == ["crtp", "keys"]
        full = ".".join([word for _, word in path] + [key])
        path.append((depth, key))
        if not inside_keys:
            for found in [full] if full in table else [row for row in table if row.startswith(full + ".") and "{" in text]:
                if found not in told:
                    lines += prose(table[found], depth if not stripped.startswith("- ") else indent)
                    told.add(found)
        # Keys for the channels are required with proxies, which the file has.
        required = [row.path for row in keys if row.default == "**required**"] + ["crtp.keys"]
        is_needed = full in required or (inside_keys and key == "1")
        has_needed = any(row.startswith(full + ".") for row in required)
        # Sections that stand whole or not at all.
        optional = {row.path.rpartition(".")[0] for row in keys if is_required_inside(row)}
        # A list whose entries begin with an optional key cannot lose that line: all of it is an example.
        is_example = full.split(".")[0] in ("routes", "virtual-servers") or name == "baton-agent" and "catalogue" == full.split(".")[0]
        entry = full.split(".")[0]
        if stripped.startswith("- "):
            in_list[entry] = in_list.get(entry, 0) + 1
        is_later = in_list.get(entry, 0) > 1
        # An empty section is fine, so that a key below it can be changed by itself.
        is_header = stripped.endswith(":") and not stripped.startswith("- ") and full not in optional
        stays = is_header or is_needed or has_needed
        if is_alternative:
            lines.append(f"## {line}")
            continue
        lines.append(line if stays and not (is_example and indent) and not is_later else f"#{line}")
    missing = sorted(set(table) - told)
    assert not missing, missing
    return "\n".join(lines) + "\n"


def prose(key, indent):
    facts = [f"{key.path}: {key.type}", f"default {key.default}" if key.default != "**required**" else "required", key.range]
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", f"{'; '.join(fact for fact in facts if fact)}. {key.meaning}")
    text = text.replace("**", "").replace("`", "")
    lead = "##" + " " * (indent + 1)
    return textwrap.wrap(text, 110, initial_indent=lead, subsequent_indent=lead + "  ", break_on_hyphens=False)


def files():
    """Path → text of everything that is made."""
    made = {}
    for name, keys, example in programs():
        made[os.path.join(HERE, f"{name}.yaml")] = annotated(name, keys, example)
        made[os.path.join(HERE, f"{name}.schema.json")] = json.dumps(schema(name, keys), indent=2, ensure_ascii=False) + "\n"
    return made


if __name__ == "__main__":
    for path, text in files().items():
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        print(os.path.relpath(path))
