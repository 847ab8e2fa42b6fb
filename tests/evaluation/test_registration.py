import subprocess
import sys


def test_names_of_evaluations_come_without_torch():
    code = "import sys, evaluation; evaluation.EVALUATIONS['linear']; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
