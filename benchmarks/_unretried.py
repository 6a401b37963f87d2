"""`sweeps.serve` whose HAProxy keeps no body and sends none again but where nobody took it.

    python -m benchmarks._unretried BUNDLE --port PORT

That is how Ray sets HAProxy up by itself, so what ours costs beside it can be measured. As with
`ingress`, HAProxy is what this file becomes when Ray runs it as a program.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def without_retries() -> None:
    """Take from `ingress` what lets HAProxy send a request again."""
    from tokcls.inference import ingress

    ours = ingress.environment

    def environment(folder: Path, cpus: int) -> dict[str, str]:
        settings = ours(folder, cpus)
        del settings["RAY_SERVE_HAPROXY_RETRY_ON"], settings["RAY_SERVE_HAPROXY_TUNE_BUFSIZE"]
        return settings

    ingress.WHOLE = ""
    ingress.environment = environment
    ingress._here = lambda: shlex.quote(str(Path(__file__).resolve()))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # as a program of Ray's it finds nothing by itself
    without_retries()
    if "-f" in sys.argv:
        from tokcls.inference.ingress import main

        main(sys.argv[1:])
    else:
        from sweeps.serve import app

        app()
