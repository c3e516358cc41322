"""The annotated configuration files and their JSON Schemas: made from the page, taken by the programs, and agreeing with
what these refuse. With a real validator."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

import jsonschema
import yaml

REPOSITORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(REPOSITORY, "packaging"))

import annotate  # noqa: E402

BINARIES = os.environ.get("BATON_BINARIES", os.path.join(REPOSITORY, ".build", "release"))
PROGRAMS = {name: (keys, example) for name, keys, example in annotate.programs()}
#: Values for any key, of which most are wrong for most.
PROBES = ["nonsense words", "", "-1", "0", "1", "3", "7.5", "99999999999", "20ms", "1h", "5 parsecs", "4KiB", "3Mbit", "on",
          "true", "maybe", "sealed", "round-robin", "canary 5%", "canary 500%", "10.9.0.1:0", "02:00:00:00:00:01", "[]", "[80]",
          "[http-get]", "[gopher]", "{ a: b }", "any", "origin"]


def values(text):
    """YAML as an editor's validator has it: keys are text, times too."""
    return json.loads(json.dumps(yaml.safe_load(text), default=str))


class Made(unittest.TestCase):
    def test_the_files_are_those_that_the_page_makes(self):
        for path, text in annotate.files().items():
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), text, f"{path}: make it anew with packaging/annotate.py")

    def test_schemas_are_schemas(self):
        for name in PROGRAMS:
            jsonschema.Draft202012Validator.check_schema(json.loads(annotate.files()[path(name, "schema.json")]))


def path(name, kind):
    return os.path.join(annotate.HERE, f"{name}.{kind}")


class Program:
    """One program's own judgement of a configuration."""

    def __init__(self, name):
        self.name = name
        self.directory = tempfile.TemporaryDirectory()
        for key in ("key1", "key2"):
            with open(os.path.join(self.directory.name, key), "w", opener=lambda p, f: os.open(p, f, 0o600)) as file:
                file.write("0f" * 32)
        for end in ("ca", "director", "agent"):
            where = os.path.join(self.directory.name, end)
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-subj", f"/CN={end}", "-keyout", f"{where}.key", "-out", f"{where}.pem"], check=True,
                           capture_output=True)

    def complaints(self, text):
        """Empty when it takes the file."""
        file = os.path.join(self.directory.name, "file.yaml")
        with open(file, "w") as written:
            written.write(text.replace("/etc/baton/", self.directory.name + "/"))
        command = [os.path.join(BINARIES, self.name), "--config", file, "--check-config"]
        result = subprocess.run(command, capture_output=True, text=True)
        return "" if result.returncode == 0 else result.stdout + result.stderr


class Agreement(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.validators = {name: jsonschema.Draft202012Validator(annotate.schema(name, keys))
                          for name, (keys, _) in PROGRAMS.items()}
        cls.programs = {name: Program(name) for name in PROGRAMS}

    @classmethod
    def tearDownClass(cls):
        for program in cls.programs.values():
            program.directory.cleanup()

    def assertTaken(self, name, text):
        self.assertEqual([error.message for error in self.validators[name].iter_errors(values(text))], [])
        self.assertEqual(self.programs[name].complaints(text), "")

    def test_the_annotated_files_are_taken_as_they_are_and_with_every_key(self):
        for name in PROGRAMS:
            with open(path(name, "yaml"), encoding="utf-8") as file:
                text = file.read()
            with self.subTest(name):
                self.assertTaken(name, text)
                whole = re.sub(r"(?m)^#(?!#)", "", text)
                self.assertTaken(name, whole)
                self.assertEqual(values(whole), values(PROGRAMS[name][1]), "every key at its default")

    def test_the_pages_examples_are_taken(self):
        with open(annotate.PAGE, encoding="utf-8") as page:
            director, agent = page.read().split("\n# baton-agent\n")
        examples = [("batond", text) for text in re.findall(r"```yaml\n(.*?)\n```", director, re.DOTALL)]
        examples += [("baton-agent", text) for text in re.findall(r"```yaml\n(.*?)\n```", agent, re.DOTALL)]
        self.assertEqual(len(examples), 3)
        for name, text in examples:
            self.assertTaken(name, text)

    def test_an_unknown_key_is_refused_by_both(self):
        for name, (_, example) in PROGRAMS.items():
            for text in (example + "\nprots: 1", example.replace("crtp:\n", "crtp:\n  listn: 1\n")):
                self.assertTrue(list(self.validators[name].iter_errors(values(text))))
                self.assertIn("unknown key", self.programs[name].complaints(text))

    def test_what_the_schema_refuses_the_program_refuses(self):
        """A schema that were stricter than the program would mark good files; one that let everything pass were useless."""
        for name, (keys, example) in PROGRAMS.items():
            refused = taken = 0
            for place, key in enumerate(keys):
                # A third of all pairs, another one for each key: each costs a start of the program.
                for probe in PROBES[place % 3::3]:
                    text = with_value(example, key.path, probe)
                    if text is None:
                        continue
                    errors = list(self.validators[name].iter_errors(values(text)))
                    if errors:
                        refused += 1
                        self.assertTrue(self.programs[name].complaints(text),
                                        f"{name} takes {key.path}: {probe}, the schema says {errors[0].message}")
                    else:
                        taken += 1
            self.assertGreater(refused, 5 * len(keys))
            self.assertGreater(taken, len(keys))


def with_value(example, key, value):
    """The example with another value of a key that stands on a line of its own; None where it does not."""
    lines, path = example.splitlines(), []
    for number, line in enumerate(lines):
        found = re.match(r"( *(?:- )?)([a-z0-9-]+):( .*)?$", line)
        if not found:
            continue
        depth = len(found[1])
        path = [(level, word) for level, word in path if level < depth] + [(depth, found[2])]
        if ".".join(word for _, word in path) == key and (found[3] or "").strip():
            return "\n".join(lines[:number] + [f"{found[1]}{found[2]}: {value}"] + lines[number + 1:])
    return None


if __name__ == "__main__":
    unittest.main()
