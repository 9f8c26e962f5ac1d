"""Checks what `keyglass check --sarif` prints against the schema of SARIF 2.1.0, for every spec of the tests."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import jsonschema

root = pathlib.Path(__file__).resolve().parents[2]
schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
validator = jsonschema.validators.validator_for(schema)(schema)

checked = results = 0
specs = [*sorted((root / "tests" / "specs").glob("*.yaml")), root / "capabilities", root / "no such folder"]
with tempfile.TemporaryDirectory() as home:
    for spec in specs:
        for path in (spec, spec.relative_to(root)):
            run = subprocess.run(
                [os.environ["KEYGLASS_BIN"], "check", "--sarif", path],
                cwd=root,
                env={"HOME": home},
                capture_output=True,
                text=True,
            )
            assert run.returncode in (0, 1), f"{path}: {run.returncode} {run.stderr}"
            log = json.loads(run.stdout)
            problems = [f"{problem.json_path}: {problem.message}" for problem in validator.iter_errors(log)]
            assert not problems, f"{path}: {problems[:5]}"
            checked += 1
            results += len(log["runs"][0]["results"])
assert results > 50, "the bad specs give results"
print(f"{checked} logs with {results} results are SARIF 2.1.0")
