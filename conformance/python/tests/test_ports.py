"""The ports that this package knows are those of the specs."""

import json
import os
import subprocess
import unittest
from pathlib import Path

from fla_conformance.ports import SPECS

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(os.environ.get("FLA_CONFORMANCE", ROOT / "target" / "release" / "fla-conformance"))


@unittest.skipUnless(PROGRAM.is_file(), f"{PROGRAM} is not built")
class Ports(unittest.TestCase):
    def setUp(self):
        listed = subprocess.run([PROGRAM, "list", "--json"], check=True, capture_output=True)
        self.specs = {spec["name"]: spec for spec in json.loads(listed.stdout)["specs"]}

    def test_every_op_is_known(self):
        self.assertEqual(sorted(SPECS), sorted(self.specs))

    def test_ports_are_the_same(self):
        for name, spec in self.specs.items():
            for side in ("inputs", "outputs"):
                told = [(p["name"], tuple(p["dims"]), p["precision"] == "f32") for p in spec[side]]
                known = [(p.name, p.dims, p.single) for p in getattr(SPECS[name], side)]
                self.assertEqual(told, known, f"{name}: {side}")

    def test_attributes_and_defaults_are_the_same(self):
        for name, spec in self.specs.items():
            told = {a["name"]: a["default"] for a in spec["attributes"]}
            known = {a: _text(default) for a, default in SPECS[name].attrs.items()}
            self.assertEqual(told, known, name)


def _text(default):
    if default is None:
        return "auto"
    return str(default).lower() if isinstance(default, bool) else f"{default:f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    unittest.main()
