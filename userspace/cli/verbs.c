/* SPDX-License-Identifier: MIT */
/* The one table of verbs: dispatch, --help, and (by a test) the manual follow it. */
#include "cli/cli.h"
#include "trust/policy.h"

#define OPT_PID	 {"pid", 'p', "PID", "the process"}
#define OPT_TARGETS                                                                                \
	{"pid", 'p', "PID", "the process; may be given many times"},                               \
	{"children", 0, NULL, "and all that descend from it"},                                     \
	{"exe", 0, "PATH", "every process that runs this file"},                                   \
	{"all", 0, NULL, "every process that this is about"}
#define OPT_WAY	 {"quiesce", 0, "WAY", "auto (default), watch: count calls, gate: park them"}
#define OPT_TIME {"timeout", 0, "TIME", "give up after so long (default 5s)"}
#define OPT_PARK {"park", 0, "TIME", "park a thread no longer than this in all (default 50ms)"}
#define OPT_MAPS                                                                                   \
	{"replace", 0, "NEW=OLD", "function NEW of the patch for OLD of the process"},             \
	{"ref", 0, "VAR=SYMBOL", "pointer VAR of the patch gets the address of SYMBOL"},           \
	{"config", 0, "FILE.json", "{\"hp_file\",\"replace_config\",\"ref_config\"}"}
#define OPT_MODE {"mode", 0, "MODE", "quiesce (default): all at once; relaxed: calls run out"}
#define OPT_NO_STOP {"no-stop", 0, NULL, "refuse entries for which all threads must stop"}
#define END	    {NULL, 0, NULL, NULL}

static const struct hp_opt load_opts[] = {
	OPT_TARGETS,
	{"all-or-nothing", 0, NULL, "unload it again where it was loaded when one refuses"},
	OPT_MAPS, OPT_MODE,
	OPT_WAY,  OPT_TIME, OPT_PARK,
	OPT_NO_STOP,
	{"dry-run", 0, NULL, "say what would be done (hpctl check)"},
	END,
};

static const struct hp_opt check_opts[] = {
	OPT_PID, OPT_MAPS, OPT_MODE, OPT_WAY, OPT_TIME, OPT_PARK, OPT_NO_STOP, END,
};

static const struct hp_opt unload_opts[] = {
	OPT_TARGETS, OPT_WAY, OPT_TIME, OPT_PARK,
	{"discard", 0, NULL, "unmap even what the process still points to"},
	END,
};

static const struct hp_opt list_opts[] = {OPT_TARGETS, END};

static const struct hp_opt pid_opts[] = {OPT_PID, END};

static const struct hp_opt watch_opts[] = {
	OPT_PID,
	{"calls", 0, NULL, "calls of the patched functions, every second"},
	END,
};

static const struct hp_opt sign_opts[] = {
	{"key", 0, "FILE", "the secret key, as minisign -G makes it"},
	{"signature", 0, "FILE", "write it there (default: beside the file, .minisig)"},
	{"comment", 0, "TEXT", "the trusted comment (default: time and name)"},
	{"expires", 0, "YYYY-MM-DD", "the last day on which the signature holds"},
	END,
};

static const struct hp_opt verify_opts[] = {
	{"key", 0, "FILE", "the one public key that counts"},
	{"keys", 0, "DIR", "a folder of them (default " HP_POLICY_KEYS ")"},
	{"signature", 0, "FILE", "the signature (default: beside the file, .minisig)"},
	END,
};

static const struct hp_opt serve_opts[] = {
	OPT_PID,
	{"http", 0, "ADDR", "listen there: 127.0.0.1:8080, [::1]:8080; port 0 picks one"},
	{"allow-remote", 0, NULL, "ADDR may be one that other machines reach; needs a token"},
	{"token-file", 0, "FILE", "only whoever sends its first line (Authorization: Bearer)"},
	{"list", 0, NULL, "what is served, where, and to whom"},
	{"stop", 0, "ADDR", "listen there no more"},
	OPT_TIME, OPT_PARK,
	END,
};

static const struct hp_opt restart_opts[] = {
	{"drain", 0, "WAY", "external, or graceful[:SIGNAL]: the program knows how"},
	{"ready-timeout", 0, "TIME", "the new process must be ready by then (default 30s)"},
	{"drain-timeout", 0, "TIME", "the old one must be gone by then (default 30s)"},
	{"ready", 0, "HOW", "auto (default), notify: it says READY=1 (sd_notify)"},
	{"exec-env", 0, "ENV", "KEEP (default), EMPTY, or NAME=VALUE on top"},
	{"user", 0, "USER[:GROUP]", "start it as this user (default: who the old one is)"},
	{"pidfile", 0, "PATH", "where the service writes its pid; kept right"},
	{"allow-new-binds", 0, NULL, "the new program may listen where the old one does not"},
	{"no-residue", 0, NULL, "leave no filter in the new one: trace it until it is ready"},
	{"wait", 0, NULL, "until the old process is gone"},
	END,
};

static const struct hp_opt no_opts[] = {END};

const struct hp_opt hp_global_opts[] = {
	{"json", 0, NULL, "one JSON document on stdout; watch: one a line"},
	{"socket", 0, "PATH", "talk to the hpd there (or HP_SOCKET)"},
	{"quiet", 'q', NULL, "say nothing but results and errors"},
	{"verbose", 'v', NULL, "say what happens, with times"},
	{"help", 'h', NULL, "this text"},
	{"version", 0, NULL, "the version"},
	END,
};

const struct hp_verb hp_verbs[] = {
	{"load", "-p PID [PATCH.so]", "change functions of a running process",
	 "Prints the hp_id of the patch (64 hex digits) alone on stdout.  PATCH.so may be left\n"
	 "out when --config names it.  --replace and --ref may be given many times, and are\n"
	 "added to what the patch says of itself.  --all is every process that has mapped the\n"
	 "file whose build-id the patch asks for.\n",
	 load_opts, hp_cmd_load},
	{"unload", "-p PID HP_ID", "give the old functions back",
	 "A prefix of the hp_id that names one patch is enough.  --all is every process that\n"
	 "has it.\n",
	 unload_opts, hp_cmd_unload},
	{"list", "[-p PID]", "what is loaded, where, since when, on which functions", "", list_opts,
	 hp_cmd_list},
	{"status", "[-p PID]", "hpd, its targets, jobs, gates and probes", "", pid_opts,
	 hp_cmd_status},
	{"check", "-p PID [PATCH.so]", "what load would do or refuse, site by site",
	 "Changes nothing.\n", check_opts, hp_cmd_check},
	{"explain", "-p PID FUNCTION...", "which thread is inside a function now, with its stack",
	 "FUNCTION is func, libfoo.so.1:func, file.c:func or @0xADDRESS.\n", pid_opts,
	 hp_cmd_explain},
	{"watch", "[-p PID] [--calls]", "what happens, as it happens", "Until interrupted.\n",
	 watch_opts, hp_cmd_watch},
	{"sign", "--key FILE PATCH.so", "sign a patch as minisign(1) does",
	 "Prints the name of the signature's file.  A password is read from standard input.\n",
	 sign_opts, hp_cmd_sign},
	{"verify", "PATCH.so", "whose signature a patch has, and that it holds",
	 "Exits with 5 when it does not, or is of no trusted key.\n", verify_opts, hp_cmd_verify},
	{"policy", "check [FILE]", "what the policy says, or where it is wrong",
	 "FILE is " HP_POLICY_FILE " by default; see hp-policy(5).\n", no_opts, hp_cmd_policy},
	{"top", "[-p PID]", "targets, patches, calls and events, live on the terminal",
	 "Up and down choose a process, Enter counts its calls while you look, q quits.\n", pid_opts,
	 hp_cmd_top},
	{"serve", "-p PID --http ADDR", "hotgo's HTTP and RPC for one process",
	 "Prints the address.  Without a token only root and the owner of the process may use it.\n"
	 "It ends with the process, with hpd, or by --stop ADDR.\n",
	 serve_opts, hp_cmd_serve},
	{"restart", "PID [-- COMMAND ARGUMENT...]", "replace a process, and lose no request",
	 "Prints the pid of the new process alone on stdout.  Without a command the program is\n"
	 "started as the old process was.\n",
	 restart_opts, hp_cmd_restart},
	{"doctor", "", "what this machine lacks, and what that costs",
	 "Exits with 0 when nothing essential is missing, with 5 when it is a privilege, else 1.\n",
	 no_opts, hp_cmd_doctor},
	{0},
};
