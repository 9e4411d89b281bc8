"""Runs the example programs that come with drppy-client, as they are, against a Muster server.

They take the server and the login from RS_ENDPOINT and RS_KEY.
"""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

PROGRAM = Path(sys.prefix) / "share/drppy_client/examples/drpcli.py"
RUN = uuid.uuid4().hex[:8]


def drpcli(*arguments):
    """One command; answers what it printed as JSON."""
    environment = dict(os.environ)
    environment["RS_ENDPOINT"] = os.environ["MUSTER_ENDPOINT"]
    environment["RS_KEY"] = "{MUSTER_USERNAME}:{MUSTER_PASSWORD}".format(**os.environ)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(PROGRAM), *arguments], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)


def main():
    machine = drpcli("machines", "create", "--payload", json.dumps({"Name": f"shipped-{RUN}"}))
    shown = drpcli("machines", "show", f"Name:shipped-{RUN}")
    assert shown["uuid"] == machine["uuid"], shown
    assert any(one["uuid"] == machine["uuid"] for one in drpcli("machines", "list"))
    param = f"shipped/{RUN}"
    made = drpcli("params", "create", "--payload", json.dumps({"Name": param, "Secure": False, "Schema": {"type": "string"}}))
    assert made["name"] == param
    assert any(one["name"] == param for one in drpcli("params", "list"))
    assert drpcli("machines", "params", machine["uuid"]) == {}
    profile = drpcli("profiles", "create", "--payload", json.dumps({"Name": f"shipped-{RUN}", "Params": {param: "x"}}))
    assert drpcli("profiles", "show", profile["name"])["params"] == {param: "x"}
    assert drpcli("subnets", "list") == []
    bundle = {
        "meta": {"Name": f"shipped-{RUN}", "Version": "v1.0.0"},
        "sections": {"tasks": {f"shipped-{RUN}": {"Name": f"shipped-{RUN}", "Templates": []}}},
    }
    assert drpcli("contents", "create", "--payload", json.dumps(bundle))["counts"]["tasks"] == 1
    assert f"shipped-{RUN}" in drpcli("contents", "show", f"shipped-{RUN}")["sections"]["tasks"]
    assert any(one["meta"]["name"] == f"shipped-{RUN}" for one in drpcli("contents", "list"))
    # The example's own `contents destroy` fails on every server: the package answers nothing for it.
    drpcli("extended", "--ldata", "contents", "destroy", f"shipped-{RUN}")
    assert drpcli("extended", "--ldata", "tasks", "list", "Name", "Eq", f"shipped-{RUN}") == []
    assert drpcli("extended", "--ldata", "profiles", "exists", f"shipped-{RUN}") is True
    drpcli("machines", "destroy", machine["uuid"])
    drpcli("profiles", "destroy", profile["name"])
    drpcli("params", "destroy", param)
    print("all shipped examples ran")


if __name__ == "__main__":
    sys.exit(main())
