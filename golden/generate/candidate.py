"""fla as a candidate without a GPU: its kernels by Triton's interpreter, slowly, in every type.

    fla-conformance replay CASE --check CHECK --candidate 'python3 -O golden/generate/candidate.py --form FORM'
"""

import sys
from pathlib import Path


def main():
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "conformance" / "python"))
    from interpreter import after_import, prepare

    prepare()
    import fla.layers  # noqa: F401
    import fla.models  # noqa: F401
    import fla.modules  # noqa: F401
    import fla.ops  # noqa: F401

    after_import()
    from fla_conformance.shims.fla import main as serve

    sys.argv += ["--device", "cpu"]
    serve()


if __name__ == "__main__":
    main()
