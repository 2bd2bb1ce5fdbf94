"""What importing a plugin loads beside the plugin itself."""

from __future__ import annotations

import os
import subprocess
import sys

from ft.testing.trial import NotApplicable, Trial, expect

_LISTED = """
import sys
import {known}
before = set(sys.modules)
import {plugin}
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(*sorted(loaded - {{"{package}"}} - set(sys.stdlib_module_names)))
"""


def listing_it_loads_no_library(trial: Trial) -> None:
    """`ft plugins` imports nothing but the plugin itself: a library is imported when its component is asked for."""
    if trial.plugin is None:
        raise NotApplicable("it is not packaged")
    module = trial.plugin.module
    code = _LISTED.format(known="ft.extension.installed", plugin=module, package=module.partition(".")[0])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    expect(done.returncode == 0, f"importing {module} failed: {done.stderr.strip()}")
    loaded = done.stdout.strip()
    expect(not loaded, f"importing {module} loads {loaded}; import it in the functions")
