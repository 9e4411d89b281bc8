# Functions for the scripts of a task that Muster runs. To have them: . ./helper
#
# What a script prints goes into the log of its job. Its exit code says how the task ended; the
# exit_ functions say it by name, whichever table of codes the task's labels choose.

# get_param NAME: prints the param's JSON value, as it holds for this machine; null when unset.
get_param() { "$MUSTER_AGENT" api GET "/machines/$RS_UUID/params/$1?aggregate=true"; }
# set_param NAME JSON: gives this machine's own param a value, such as '"text"' or 7.
set_param() { printf '%s' "$2" | "$MUSTER_AGENT" api POST "/machines/$RS_UUID/params/$1" - >/dev/null; }

job_info() { echo "INFO: $*"; }
job_success() { echo "SUCCESS: $*"; }
job_warn() { echo "WARNING: $*"; }
job_error() { echo "ERROR: $*"; }
# job_fatal TEXT...: says why, and the task has failed.
job_fatal() { echo "FATAL: $*"; exit 1; }

_muster_exit() { : >"$RS_TASK_DIR/.sane-exit-codes"; exit "$1"; }
# The task is done, and then: no further tasks for now, switch off, restart.
exit_stop() { _muster_exit 16; }
exit_shutdown() { _muster_exit 32; }
exit_reboot() { _muster_exit 64; }
# The task begins again, later.
exit_incomplete() { _muster_exit 128; }
exit_incomplete_stop() { _muster_exit 144; }
exit_incomplete_shutdown() { _muster_exit 160; }
exit_incomplete_reboot() { _muster_exit 192; }
