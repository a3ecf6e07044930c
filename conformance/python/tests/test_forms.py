import ast
import importlib.util
import pathlib
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SHIMS = HERE.parent / "fla_conformance" / "shims"
GOLDEN = HERE.parents[2] / "golden"


def names(path):
    return [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def imported(path):
    """What a file takes from fla, by name."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in nodes if node.module.startswith("fla.") for alias in node.names}


@unittest.skipUnless(importlib.util.find_spec("torch"), "torch is not installed")
class Forms(unittest.TestCase):
    def test_every_public_op_is_offered(self):
        from fla_conformance.shims.forms import FORMS

        without = {line.split(":")[0] for line in names(GOLDEN / "upstream_without.txt")}
        public = {name for name in names(GOLDEN / "upstream.txt") if name.startswith("fla.ops.")} - without
        offered = {how.function for forms in FORMS.values() for how in forms.values()}
        offered |= imported(SHIMS / "composed.py") | imported(SHIMS / "decoding.py")
        self.assertEqual(sorted(name for name in public if name.rsplit(".", 1)[1] not in offered), [])
        self.assertGreater(len(public), 100)


if __name__ == "__main__":
    unittest.main()
