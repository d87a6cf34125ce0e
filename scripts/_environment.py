"""Makes the virtual environment that the scripts run in, and prints its interpreter's path.

Run by scripts/_bootstrap.sh with the interpreter to build on; needs nothing but the standard library.
"""

import fcntl
import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements-dev.txt"
# What each set installs; a larger set serves a smaller one.
SETS = {
    "run": ("--constraint", str(REQUIREMENTS), "--editable", f"{ROOT}[server,postgres]"),
    "dev": ("--requirement", str(REQUIREMENTS), "--editable", f"{ROOT}[server,postgres]"),
}


def say(text: str) -> None:
    """Tell the person; standard output is for the caller."""
    print(text, file=sys.stderr, flush=True)


def wanted(name: str) -> str:
    """Sum up all that an environment of this set depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    parts = (
        name,
        sys.version,
        str(ROOT),
        REQUIREMENTS.read_text(encoding="utf-8"),
        repr([project.get("build-system"), project["project"], project["tool"].get("hatch")]),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def is_current(environment: Path, name: str) -> bool:
    """Say whether the environment has this set, or a larger one, as it is asked for now."""
    sets = ("dev",) if name == "dev" else ("run", "dev")
    stamp = environment / "stamp"
    return stamp.is_file() and stamp.read_text(encoding="utf-8") in {wanted(each) for each in sets}


def works(python: Path) -> bool:
    """Say whether an interpreter is there and not left over from one that is gone."""
    return python.exists() and not subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode


def install(environment: Path, name: str) -> None:
    """Make the environment, or bring it up to date in place."""
    python = environment / "bin" / "python"
    if not works(python):
        say(f"making {environment.name} with Python {sys.version.split()[0]}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True, stdout=sys.stderr)
    say(f"installing into {environment.name}; the first time takes a minute")
    (environment / "stamp").unlink(missing_ok=True)
    pip = (python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *SETS[name])
    subprocess.run(pip, check=True, stdout=sys.stderr)
    (environment / "stamp").write_text(wanted(name), encoding="utf-8")


def main() -> int:
    """Make the environment if need be; print the path of its interpreter."""
    name = sys.argv[1]
    environment = ROOT / f".venv-{sys.version_info.major}.{sys.version_info.minor}"
    environment.mkdir(exist_ok=True)
    if not is_current(environment, name):
        # Two scripts may begin at once: the second waits and finds the work done. A file that is there anyway
        # is what they wait for.
        with REQUIREMENTS.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_current(environment, name):
                try:
                    install(environment, name)
                except subprocess.CalledProcessError as error:
                    say(f"{' '.join(map(str, error.cmd[:4]))} … failed; see above")
                    return 1
    print(environment / "bin" / "python")
    return 0


if __name__ == "__main__":
    sys.exit(main())
