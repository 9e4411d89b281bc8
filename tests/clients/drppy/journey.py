"""What users of Digital Rebar's Python client do, step by step, against a Muster server.

Each step is a function; it prints its name when everything it claims held, and the first claim
that does not hold ends the program. Names carry a suffix, so that it can be run again.
"""

import inspect
import json
import os
import sys
import uuid

import drppy_client as drp
from drppy_client.rest import ApiException

RUN = uuid.uuid4().hex[:8]


def name(text):
    return f"{text}-{RUN}"


def client(username=None, password=None, token=None):
    configuration = drp.Configuration()
    configuration.host = os.environ["MUSTER_ENDPOINT"] + "/api/v3"
    configuration.verify_ssl = True
    configuration.ssl_ca_cert = os.environ["MUSTER_CA"]
    if token:
        configuration.api_key = {"Authorization": token}
        configuration.api_key_prefix = {"Authorization": "Bearer"}
    else:
        configuration.username = username or os.environ["MUSTER_USERNAME"]
        configuration.password = password or os.environ["MUSTER_PASSWORD"]
    return drp.ApiClient(configuration)


def refused(status, call, *arguments, **options):
    """The call is refused with this status; answers the error body."""
    try:
        call(*arguments, **options)
    except ApiException as error:
        assert error.status == status, f"{error.status} instead of {status}: {error.body}"
        body = json.loads(error.body)
        assert body["Code"] == status and body["Messages"] and body["Type"], body
        return body
    raise AssertionError(f"{call.__name__} was not refused with {status}")


API = client()
MACHINES = drp.MachinesApi(API)
JOBS = drp.JobsApi(API)


def steps_create_get_and_delete():
    made = MACHINES.create_machine({"Name": name("alpha"), "Address": "10.0.0.5", "Secret": "s1"})
    assert made.name == name("alpha") and made.address == "10.0.0.5" and made.secret == "s1"
    assert made.stage == "none" and made.boot_env == "local" and made.runnable and made.arch == "amd64"
    assert made.tasks == [] and made.workflow_complete and made.meta["feature-flags"] == "change-stage-v2"
    for key in (made.uuid, "Name:" + made.name, "Uuid:" + made.uuid, "Key:" + made.uuid):
        assert MACHINES.get_machine(key).uuid == made.uuid
    assert refused(404, MACHINES.get_machine, made.name)["Model"] == "machines"
    assert refused(409, MACHINES.create_machine, {"Name": "x" + made.name, "Uuid": made.uuid})["Type"] == "CREATE"
    refused(422, MACHINES.create_machine, {"Name": made.name})
    refused(422, MACHINES.create_machine, {"Name": "a/b"})
    assert MACHINES.head_machine(made.uuid) is None
    assert MACHINES.delete_machine(made.uuid).uuid == made.uuid
    refused(404, MACHINES.get_machine, made.uuid)


def steps_list_with_filters():
    net = f"10.{int(RUN[0:2], 16)}.{int(RUN[2:4], 16)}"
    ids = [MACHINES.create_machine({"Name": name(f"list{n}"), "Address": f"{net}.{n}"}).uuid for n in range(4)]
    mine = f"Re(^list.*{RUN}$)"
    found = MACHINES.list_machines(name=mine, sort="Name")
    assert [machine.uuid for machine in found] == ids, found
    assert [machine.uuid for machine in MACHINES.list_machines(name=mine, sort="Name", reverse="true")] == ids[::-1]
    assert [machine.uuid for machine in MACHINES.list_machines(name=mine, sort="Name", limit=2, offset=1)] == ids[1:3]
    assert [machine.uuid for machine in MACHINES.filter("Address", "Eq", f"{net}.2")] == [ids[2]]
    assert len(MACHINES.list_machines(name=mine, runnable=True)) == 4
    assert MACHINES.list_machines(name=mine, runnable=False) == []
    slim = MACHINES.list_machines(name=mine, sort="Name", slim="Params,Meta")[0]
    assert slim.partial and slim.name == name("list0")
    refused(406, MACHINES.list_machines, runnable="maybe")
    refused(406, MACHINES.list_machines, limit=-1)
    counts = {stat.name: stat.count for stat in MACHINES.list_stats_machines(name=mine)}
    assert 4 in counts.values(), counts
    for key in ids:
        MACHINES.delete_machine(key)


def steps_patch_and_put():
    made = MACHINES.create_machine({"Name": name("beta")})
    patched = MACHINES.patch_machine(
        [{"op": "test", "path": "/Name", "value": made.name}, {"op": "replace", "path": "/Description", "value": "rack 4"}],
        made.uuid,
    )
    assert patched.description == "rack 4"
    stale = [{"op": "test", "path": "/Description", "value": "rack 9"}, {"op": "remove", "path": "/Meta"}]
    assert refused(409, MACHINES.patch_machine, stale, made.uuid)["Type"] == "PATCH"
    patched.description = "rack 5"
    patched.params = {"color": "green"}
    stored = MACHINES.put_machine(patched, made.uuid)
    assert stored.description == "rack 5" and stored.params == {"color": "green"}
    refused(422, MACHINES.patch_machine, [{"op": "replace", "path": "/BootEnv", "value": "nowhere"}], made.uuid)
    refused(422, MACHINES.patch_machine, [{"op": "replace", "path": "/BootEnv", "value": "ignore"}], made.uuid)
    locked = MACHINES.patch_machine([{"op": "replace", "path": "/Locked", "value": True}], made.uuid)
    assert locked.locked
    refused(423, MACHINES.patch_machine, [{"op": "replace", "path": "/Address", "value": "10.0.0.9"}], made.uuid)
    refused(423, MACHINES.delete_machine, made.uuid)
    MACHINES.patch_machine([{"op": "replace", "path": "/Locked", "value": False}], made.uuid)
    MACHINES.delete_machine(made.uuid)


def steps_params():
    params = drp.ParamsApi(API)
    key = name("site/color")
    made = params.create_param({"Name": key, "Schema": {"type": "string", "default": "blue"}})
    assert made.name == key and made.secure is False
    refused(422, params.create_param, {"Name": name("bad"), "Schema": {"type": "string", "default": 1}})
    machine = MACHINES.create_machine({"Name": name("gamma")}).uuid
    assert MACHINES.get_machine_param(machine, key) is None
    assert MACHINES.get_machine_param(machine, key, aggregate=True) == "blue"
    MACHINES.post_machine_param("red", machine, key)
    assert MACHINES.get_machine_param(machine, key) == "red"
    refused(422, MACHINES.post_machine_param, ["red"], machine, key)
    assert MACHINES.get_machine_params(machine) == {key: "red"}
    assert MACHINES.post_machine_params({"other": 1}, machine) == {"other": 1}
    assert MACHINES.patch_machine_params([{"op": "add", "path": "/more", "value": True}], machine) == {"other": 1, "more": True}
    assert MACHINES.delete_machine_param(machine, "other") == 1
    assert refused(404, MACHINES.delete_machine_param, machine, "other")["Model"] == "params"
    profiles = drp.ProfilesApi(API)
    profiles.create_profile({"Name": name("site"), "Params": {"depth": 3}})
    MACHINES.patch_machine([{"op": "add", "path": "/Profiles/-", "value": name("site")}], machine)
    assert MACHINES.get_machine_params(machine, aggregate=True)["depth"] == 3
    refused(409, profiles.delete_profile, name("site"))
    MACHINES.delete_machine(machine)
    profiles.delete_profile(name("site"))
    params.delete_param(key)


def steps_workflow_jobs_and_logs():
    tasks, stages, workflows = drp.TasksApi(API), drp.StagesApi(API), drp.WorkflowsApi(API)
    drp.TemplatesApi(API).create_template({"ID": name("say.tmpl"), "Contents": "echo {{.Machine.Name}} {{.Param \"word\"}}\n"})
    for task in ("one", "two"):
        made = tasks.create_task({"Name": name(task), "Templates": [{"Name": "say", "ID": name("say.tmpl")}]})
        assert made.meta["feature-flags"] == "sane-exit-codes"
    stages.create_stage({"Name": name("work"), "Tasks": [name("one"), name("two")]})
    workflow = workflows.create_workflow({"Name": name("flow"), "Stages": [name("work")]})
    assert workflow.available
    machine = MACHINES.create_machine({"Name": name("delta"), "Params": {"word": "hello"}}).uuid
    started = MACHINES.patch_machine([{"op": "replace", "path": "/Workflow", "value": name("flow")}], machine)
    assert started.tasks == ["stage:" + name("work"), name("one"), name("two")] and started.current_task == -1
    refused(422, MACHINES.patch_machine, [{"op": "replace", "path": "/Stage", "value": "none"}], machine)
    previous = "00000000-0000-0000-0000-000000000000"
    for index, task in enumerate(("one", "two"), start=1):
        job = JOBS.create_job({"Machine": machine})
        assert API.last_response.status == 201 and job.state == "created"
        assert job.task == name(task) and job.current_index == index and job.next_index == index + 1
        assert job.previous == previous and job.current
        refused(409, JOBS.create_job, {"Machine": machine})
        JOBS.get_job_actions(job.uuid)
        assert f"echo {name('delta')} hello" in API.last_response.data, API.last_response.data
        change(job.uuid, "created", "running")
        put_log(job.uuid, f"{task} works\n")
        change(job.uuid, "running", "finished", "complete")
        log = JOBS.get_job_log(job.uuid)
        assert job.uuid in log.splitlines()[0] and log.endswith(f"{task} works\n"), log
        previous = job.uuid
    JOBS.create_job({"Machine": machine})
    assert API.last_response.status == 204
    done = MACHINES.get_machine(machine)
    assert done.workflow_complete and done.job_state == "finished" and done.current_task == 3
    assert [job.state for job in JOBS.list_jobs(machine=machine)] == ["finished", "finished"]
    assert MACHINES.get_machine_actions(machine) in (None, [])
    assert MACHINES.patch_machine([{"op": "replace", "path": "/Workflow", "value": ""}], machine).stage == "none"
    MACHINES.delete_machine(machine)
    for key in [job.uuid for job in JOBS.list_jobs(machine=machine)]:
        JOBS.delete_job(key)
    workflows.delete_workflow(name("flow"))
    stages.delete_stage(name("work"))
    for task in ("one", "two"):
        tasks.delete_task(name(task))
    drp.TemplatesApi(API).delete_template(name("say.tmpl"))


def change(job, old, new, exit_state=None):
    operations = [{"op": "test", "path": "/State", "value": old}, {"op": "replace", "path": "/State", "value": new}]
    if exit_state:
        operations.append({"op": "replace", "path": "/ExitState", "value": exit_state})
    assert JOBS.patch_job(operations, job).state == new


def put_log(job, text):
    """put_job_log of the package cannot send a body: the same call by hand."""
    pool = API.rest_client.pool_manager
    answer = pool.request(
        "PUT",
        f"{API.configuration.host}/jobs/{job}/log",
        body=text.encode(),
        headers={"Authorization": API.configuration.get_basic_auth_token(), "Content-Type": "application/octet-stream"},
    )
    assert answer.status == 204 and answer.headers["Content-Type"].startswith("application/json"), answer.status


def steps_other_objects():
    bootenvs = drp.BootEnvsApi(API)
    assert bootenvs.get_boot_env("local").read_only and bootenvs.get_boot_env("ignore").only_unknown
    made = bootenvs.create_boot_env({"Name": name("env"), "OS": {"Name": "march"}, "BootParams": "quiet"})
    assert made.available and made.templates == [] and made.loaders == {}
    refused(403, bootenvs.delete_boot_env, "local")
    bootenvs.delete_boot_env(name("env"))
    stages = drp.StagesApi(API)
    assert [stage.name for stage in stages.list_stages(name="In(none,local)", sort="Name")] == ["local", "none"]
    lost = stages.create_stage({"Name": name("lost"), "BootEnv": name("env")})
    assert lost.available is False and len(lost.errors) == 1
    stages.delete_stage(name("lost"))
    contexts = drp.ContextsApi(API)
    contexts.create_context({"Name": name("ctx"), "Engine": "docker-context"})
    contexts.delete_context(name("ctx"))
    assert any(pool.id == "default" for pool in drp.PoolsApi(API).list_pools())


def steps_prefs_indexes_meta_and_objects():
    prefs = drp.PrefsApi(API)
    assert prefs.list_prefs()["unknownBootEnv"] == "ignore"
    assert prefs.set_prefs(body={"knownTokenTimeout": "7200"})["knownTokenTimeout"] == "7200"
    prefs.set_prefs(body={"knownTokenTimeout": "3600"})
    refused(422, prefs.set_prefs, body={"defaultBootEnv": "nowhere"})
    refused(422, prefs.set_prefs, body={"noSuchPref": "1"})
    indexes = drp.IndexesApi(API)
    assert indexes.get_index("machines")["Uuid"].unique and "jobs" in indexes.list_indexes()
    assert indexes.get_single_index("machines", "Runnable").type == "boolean"
    machine = MACHINES.create_machine({"Name": name("eta")}).uuid
    meta = drp.MetaApi(API)
    meta.patch_meta("machines", machine, [{"op": "add", "path": "/color", "value": "green"}])
    assert meta.get_meta("machines", machine)["color"] == "green"
    MACHINES.delete_machine(machine)
    prefixes = drp.ObjectsApi(API).list_objects()
    assert prefixes == sorted(prefixes) and {"machines", "jobs", "preferences"} <= set(prefixes), prefixes
    info = drp.InfoApi(API).get_info()
    assert info.ha_status == "Up" and info.version.startswith("v4.") and "workflows" in info.features
    drp.EventsApi(API).post_event(body={"Type": "site", "Action": "ping", "Key": RUN, "Object": {}})


def steps_whoami_knows_hardware_and_gives_no_token():
    address = ":".join(["02"] + [RUN[n : n + 2] for n in range(0, 8, 2)] + ["01"])
    serial = "c2VyaWFsLW9mLQ=="
    machine = MACHINES.create_machine(
        {
            "Name": name("theta"),
            "HardwareAddrs": [address],
            "Fingerprint": {"SSNHash": serial, "CSNHash": serial, "SystemUUID": str(uuid.uuid4()), "CloudInstanceID": "", "MemoryIds": []},
        }
    )
    whoami = drp.WhoamiApi(API)
    found = whoami.fill_whoami(
        body={"MacAddrs": [address], "Fingerprint": {"SSNHash": serial, "CSNHash": serial, "SystemUUID": machine.fingerprint.system_uuid}}
    )
    assert found.result.uuid == machine.uuid and found.result.score >= 100 and not found.result.token, found
    assert not whoami.fill_whoami(body={"MacAddrs": ["02:00:00:00:00:99"], "Fingerprint": {}}).result.uuid
    MACHINES.delete_machine(machine.uuid)


def steps_users_and_tokens():
    users = drp.UsersApi(API)
    users.create_user({"Name": name("eve"), "Roles": []})
    password = "correct horse " + RUN
    # The package's put_user_password forgets the name: the call as it is meant.
    answer = API.rest_client.pool_manager.request(
        "PUT",
        f"{API.configuration.host}/users/{name('eve')}/password",
        body='{"Password": "%s"}' % password,
        headers={"Authorization": API.configuration.get_basic_auth_token(), "Content-Type": "application/json"},
    )
    assert answer.status == 200, answer.data
    eve = client(name("eve"), password)
    assert refused(403, drp.MachinesApi(eve).create_machine, {"Name": name("iota")})["Type"] == "AUTH"
    refused(403, drp.MachinesApi(client(name("eve"), "wrong")).list_machines)
    token = users.get_user_token(os.environ["MUSTER_USERNAME"], ttl=600)
    assert token.token and token.info.version
    assert drp.InfoApi(client(token=token.token)).get_info().ha_status == "Up"
    machine = MACHINES.create_machine({"Name": name("kappa")}).uuid
    secret = MACHINES.get_machine_token(machine, ttl="1h").token
    own = drp.MachinesApi(client(token=secret))
    assert own.get_machine(machine).uuid == machine
    other = MACHINES.create_machine({"Name": name("lambda")}).uuid
    refused(403, own.get_machine, other)
    MACHINES.patch_machine([{"op": "replace", "path": "/Secret", "value": "another"}], machine)
    refused(403, own.get_machine, machine)
    for key in (machine, other):
        MACHINES.delete_machine(key)
    users.delete_user(name("eve"))


def main():
    all_steps = [value for key, value in globals().items() if key.startswith("steps_") and inspect.isfunction(value)]
    for step in all_steps:
        step()
        print("held:", step.__name__.removeprefix("steps_"), flush=True)
    print(f"all {len(all_steps)} held")


if __name__ == "__main__":
    sys.exit(main())
